import { line } from "./axes.ts";
import type { Context } from "./canvas.ts";
import { densityCss } from "./colour-map.ts";
import type { ColourScale } from "./colour-scale.ts";
import { type Box, frameInk, ink, paleInk } from "./style.ts";
import { fitted, setFont, widthOf } from "./text.ts";

/** Distance of the bar from the panels, and its width. */
export const barGap = 16;
export const barWidth = 13;
const labelAt = 14;

/** Width of a bar with its ticks, note and label. */
export function colourBarWidth(context: Context, scale: ColourScale): number {
  setFont(context, 11);
  const note = widthOf(context, scale.note);
  // the label's line is 14 high
  return Math.ceil(Math.max(barWidth + labelAt + widestTick(context, scale) + 14, note));
}

function widestTick(context: Context, scale: ColourScale): number {
  return Math.max(0, ...scale.ticks.map(({ text }) => widthOf(context, text)));
}

/** A vertical bar of the colour map with the scale's ticks at its right, and above it what these are to be read with. */
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
  setFont(context, 11);
  context.textAlign = "left";
  context.textBaseline = "middle";
  const right = box.left + box.width;
  // on a low bar not all ticks have room
  let last = Number.POSITIVE_INFINITY;
  for (const { value, text } of [...scale.ticks].sort((a, b) => a.value - b.value)) {
    const at = Math.round(bottom - scale.position(value) * box.height) + 0.5;
    if (last - at < 11) continue;
    last = at;
    line(context, right + 1, at, right + 5, at);
    context.fillText(text, right + 8, at);
  }
  const widest = widestTick(context, scale);
  context.textBaseline = "alphabetic";
  context.fillText(scale.note, box.left, box.top - 8);

  context.fillStyle = ink;
  setFont(context, 12);
  context.textAlign = "center";
  context.textBaseline = "top";
  context.save();
  context.translate(right + labelAt + widest, box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  // margins above and below are free at the right
  context.fillText(fitted(context, label, box.height + 60), 0, 0);
  context.restore();
}
