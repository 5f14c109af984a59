import { line } from "./axes.ts";
import { type Context, fontFamily } from "./canvas.ts";
import { densityCss } from "./colour-map.ts";
import type { ColourScale } from "./colour-scale.ts";
import { type Box, frameInk, ink, paleInk } from "./style.ts";

/** A vertical bar of the colour map with the scale's ticks at its right. */
export function drawColourBar(context: Context, box: Box, scale: ColourScale, label: string): void {
  const bottom = box.top + box.height;
  // Half a pixel per strip, so that no seam shows at twice the resolution.
  for (let strip = 0; strip < 2 * box.height; strip++) {
    context.fillStyle = densityCss(strip / (2 * box.height - 1));
    context.fillRect(box.left, bottom - (strip + 1) / 2, box.width, 0.5);
  }
  context.strokeStyle = frameInk;
  context.lineWidth = 1;
  context.strokeRect(box.left - 0.5, box.top - 0.5, box.width + 1, box.height + 1);

  context.fillStyle = paleInk;
  context.font = `11px "${fontFamily}", sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  const right = box.left + box.width;
  let widest = 0;
  for (const { value, text } of scale.ticks) {
    const at = Math.round(bottom - scale.position(value) * box.height) + 0.5;
    line(context, right + 1, at, right + 5, at);
    context.fillText(text, right + 8, at);
    widest = Math.max(widest, context.measureText(text).width);
  }

  context.fillStyle = ink;
  context.font = `12px "${fontFamily}", sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "top";
  context.save();
  context.translate(right + 14 + widest, box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(label, 0, 0);
  context.restore();
}
