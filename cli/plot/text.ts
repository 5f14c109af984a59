import { type Context, fontFamily } from "./canvas.ts";

/** Chooses the font of what is drawn, or measured, next. */
export function setFont(context: Context, size: number): void {
  context.font = `${size}px "${fontFamily}", sans-serif`;
}

export function widthOf(context: Context, text: string): number {
  return context.measureText(text).width;
}

/** The text on one line; where it is wider than `width`, with … in its middle, since names differ at both ends. */
export function fitted(context: Context, text: string, width: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  if (widthOf(context, line) <= width) return line;
  const signs = Array.from(line);
  const shortened = (kept: number) =>
    `${signs.slice(0, Math.ceil(kept / 2)).join("")}…${signs.slice(signs.length - Math.floor(kept / 2)).join("")}`;
  let least = 0;
  let most = signs.length - 1;
  while (least < most) {
    const kept = Math.ceil((least + most) / 2);
    if (widthOf(context, shortened(kept)) <= width) least = kept;
    else most = kept - 1;
  }
  return shortened(least);
}
