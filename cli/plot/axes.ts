import type { ScaleLinear } from "d3-scale";
import { type Context, fontFamily } from "./canvas.ts";
import { type AxisStyle, type Box, frameInk, ink, paleInk } from "./style.ts";

const tickLength = 4;

export function drawFrame(context: Context, box: Box): void {
  context.strokeStyle = frameInk;
  context.lineWidth = 1;
  context.strokeRect(box.left - 0.5, box.top - 0.5, box.width + 1, box.height + 1);
}

type Axis = AxisStyle & { scale: ScaleLinear<number, number> };

/** Ticks and labels below and, for the leftmost panel of a row, at the left. */
export function drawAxes(context: Context, box: Box, x: Axis, y: Axis, { isLeftmost }: { isLeftmost: boolean }): void {
  context.strokeStyle = frameInk;
  context.lineWidth = 1;
  context.font = `11px "${fontFamily}", sans-serif`;
  const bottom = box.top + box.height;

  context.fillStyle = paleInk;
  context.textAlign = "center";
  context.textBaseline = "top";
  const countX = Math.max(2, Math.round(box.width / 85));
  const formatX = x.format ?? x.scale.tickFormat(countX);
  for (const value of x.scale.ticks(countX)) {
    const at = Math.round(x.scale(value)) + 0.5;
    line(context, at, bottom + 1, at, bottom + 1 + tickLength);
    context.fillText(formatX(value), at, bottom + tickLength + 4);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  const countY = Math.max(2, Math.round(box.height / 55));
  const formatY = y.format ?? y.scale.tickFormat(countY);
  for (const value of y.scale.ticks(countY)) {
    const at = Math.round(y.scale(value)) + 0.5;
    line(context, box.left - 1 - tickLength, at, box.left - 1, at);
    if (isLeftmost) context.fillText(formatY(value), box.left - tickLength - 4, at);
  }

  context.fillStyle = ink;
  context.font = `12px "${fontFamily}", sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.fillText(x.label, box.left + box.width / 2, bottom + 42);
  if (!isLeftmost) return;
  context.save();
  context.translate(box.left - 44, box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(y.label, 0, 0);
  context.restore();
}

export function line(context: Context, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
