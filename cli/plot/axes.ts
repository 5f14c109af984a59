import { type ScaleLinear, scaleLinear } from "d3-scale";
import { item } from "../../src/must.ts";
import type { Context } from "./canvas.ts";
import type { Range } from "./grid.ts";
import { type AxisStyle, type Box, frameInk, ink, paleInk } from "./style.ts";
import { fitted, setFont, widthOf } from "./text.ts";
import { tickLabels } from "./ticks.ts";

const tickLength = 4;
const labelGap = 4;
const tickSize = 11;
const labelSize = 12;
/** Height of a line of a note. */
export const noteHeight = 17;

/** What stands along an axis, and how much room it takes. */
export interface AxisPlan {
  readonly range: Range;
  readonly label: string;
  readonly ticks: readonly { readonly value: number; readonly text: string; readonly width: number }[];
  /** What all ticks are to be read with; "" for none. */
  readonly note: string;
  readonly noteWidth: number;
  readonly widest: number;
}

/** Ticks of an axis at the left. */
export function planVertical(context: Context, style: AxisStyle, height: number): AxisPlan {
  return clearest(context, style, Math.max(2, Math.round(height / 55)), () => 12, height);
}

/** Ticks of an axis below: as many as stand beside each other without touching. */
export function planHorizontal(context: Context, style: AxisStyle, width: number): AxisPlan {
  return clearest(context, style, Math.max(2, Math.round(width / 85)), (a, b) => (a.width + b.width) / 2 + 6, width);
}

type Tick = AxisPlan["ticks"][number];

/** About `wanted` ticks, at least two of them where labels have room: `room` is how far apart two have to stand. */
function clearest(
  context: Context,
  style: AxisStyle,
  wanted: number,
  room: (a: Tick, b: Tick) => number,
  length: number,
): AxisPlan {
  const scale = scaleLinear([...style.range], [0, length]);
  const fewer = Array.from({ length: wanted }, (_, i) => wanted - i);
  for (const count of [...fewer, wanted + 1, wanted + 2, wanted + 3]) {
    const planned = plan(context, style, count);
    const isClear = planned.ticks.every((tick, i) => {
      const next = planned.ticks[i + 1];
      return next === undefined || scale(next.value) - scale(tick.value) >= room(tick, next);
    });
    if (isClear && planned.ticks.length > 1) return planned;
  }
  const planned = plan(context, style, 1);
  return { ...planned, ticks: planned.ticks.slice(0, 1) };
}

function plan(context: Context, { range, label, format }: AxisStyle, count: number): AxisPlan {
  const values = scaleLinear([...range], [0, 1]).ticks(count);
  const { texts, note } = format ? { texts: values.map(format), note: "" } : tickLabels(values);
  setFont(context, tickSize);
  const ticks = values.map((value, i) => {
    const text = item(texts, i);
    return { value, text, width: widthOf(context, text) };
  });
  const widest = Math.max(0, ...ticks.map(({ width }) => width));
  return { range, label, ticks, note, noteWidth: note === "" ? 0 : widthOf(context, note), widest };
}

/** How far the labels of the first and the last tick below stand out of the panel. */
export function overhang({ range, ticks }: AxisPlan, width: number): { left: number; right: number } {
  const scale = scaleLinear([...range], [0, width]);
  return {
    left: Math.max(0, ...ticks.map((tick) => tick.width / 2 - scale(tick.value))),
    right: Math.max(0, ...ticks.map((tick) => scale(tick.value) + tick.width / 2 - width)),
  };
}

/** Distance of the panel from the label of the axis at its left. */
export function labelDistance({ widest }: AxisPlan): number {
  return Math.max(44, Math.ceil(tickLength + labelGap + widest + 6));
}

export function drawFrame(context: Context, box: Box): void {
  context.strokeStyle = frameInk;
  context.lineWidth = 1;
  context.strokeRect(box.left - 0.5, box.top - 0.5, box.width + 1, box.height + 1);
}

type Scale = ScaleLinear<number, number>;

/** Ticks, labels and notes below and, for the leftmost panel of a row, at the left. `slot`: the width that is free below. */
export function drawAxes(
  context: Context,
  box: Box,
  x: AxisPlan & { scale: Scale },
  y: AxisPlan & { scale: Scale },
  { isLeftmost, slot }: { isLeftmost: boolean; slot: number },
): void {
  context.strokeStyle = frameInk;
  context.lineWidth = 1;
  setFont(context, tickSize);
  const bottom = box.top + box.height;

  context.fillStyle = paleInk;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const { value, text } of x.ticks) {
    const at = Math.round(x.scale(value)) + 0.5;
    line(context, at, bottom + 1, at, bottom + 1 + tickLength);
    context.fillText(text, at, bottom + tickLength + labelGap);
  }
  context.textAlign = "right";
  context.fillText(x.note, box.left + box.width, bottom + tickLength + labelGap + noteHeight);
  context.textBaseline = "middle";
  for (const { value, text } of y.ticks) {
    const at = Math.round(y.scale(value)) + 0.5;
    line(context, box.left - 1 - tickLength, at, box.left - 1, at);
    if (isLeftmost) context.fillText(text, box.left - tickLength - labelGap, at);
  }
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  if (isLeftmost) context.fillText(y.note, box.left, box.top - 8);

  context.fillStyle = ink;
  setFont(context, labelSize);
  context.textAlign = "center";
  context.textBaseline = "bottom";
  const below = bottom + 42 + (x.note === "" ? 0 : noteHeight);
  context.fillText(fitted(context, x.label, slot), box.left + box.width / 2, below);
  if (!isLeftmost) return;
  context.save();
  context.translate(box.left - labelDistance(y), box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  // margins above and below are free at the left
  context.fillText(fitted(context, y.label, box.height + 60), 0, 0);
  context.restore();
}

export function line(context: Context, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
