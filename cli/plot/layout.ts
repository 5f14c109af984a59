import { PushforwardError } from "../../src/errors.ts";
import { count } from "../report.ts";
import { type AxisPlan, labelDistance, noteHeight, overhang, planHorizontal, planVertical } from "./axes.ts";
import type { Context } from "./canvas.ts";
import { barGap, colourBarWidth } from "./colour-bar.ts";
import type { Figure } from "./figure.ts";

/** Places on the page, in CSS pixels, with margins as wide as what stands in them. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
  readonly gap: number;
  readonly panel: { readonly width: number; readonly height: number };
  /** Base line of the panels' titles. */
  readonly titleLine: number;
  readonly x: AxisPlan;
  readonly y: AxisPlan;
}

/** Pixels that a picture may have at a side, and altogether. */
const mostSide = 32_000;
const mostPixels = 100_000_000;
const leastHeight = 50;

/** Measures what stands around the panels; throws `invalid-argument` where the picture cannot be drawn. */
export function layOut(context: Context, figure: Figure): Layout {
  const { panels, panelWidth = 420, pixelRatio = 2, aspect } = figure;
  const span = ([low, high]: readonly [number, number]) => high - low;
  const panelHeight = Math.round(
    aspect === undefined ? panelWidth : panelWidth * ((span(figure.y.range) / span(figure.x.range)) * aspect),
  );
  const columns = Math.max(1, panels.length);
  checkSize(columns * panelWidth * pixelRatio, panelHeight * pixelRatio);
  if (panelHeight < leastHeight)
    throw new PushforwardError(
      "invalid-argument",
      `panels would be ${panelHeight} pixels high, but they need at least ${leastHeight}: take a greater --aspect, or none for square panels`,
    );

  const x = planHorizontal(context, figure.x, panelWidth);
  const y = planVertical(context, figure.y, panelHeight);
  const beyond = overhang(x, panelWidth);
  const note = Math.max(0, x.noteWidth - panelWidth);
  const gap = Math.ceil(Math.max(18, beyond.left + beyond.right + 8, note + 12));
  // a label below may be as wide as panel and gap
  const edge = Math.ceil(Math.max(22, (gap - 8) / 2 + 4, beyond.right + 6, y.noteWidth - panelWidth + 8));
  const bar = figure.colour ? Math.max(92, barGap + colourBarWidth(context, figure.colour.scale) + 8) : 0;
  const left = Math.ceil(Math.max(labelDistance(y) + 24, beyond.left + 6, note + 8));
  const top = 46 + (figure.title ? 26 : 0) + (figure.subtitle ? 20 : 0) + (y.note === "" ? 0 : noteHeight);
  const width = left + columns * (panelWidth + gap) - gap + Math.max(edge, bar);
  const height = top + panelHeight + 50 + (x.note === "" ? 0 : noteHeight);
  checkSize(width * pixelRatio, height * pixelRatio);
  const titleLine = top - 9 - (y.note === "" ? 0 : noteHeight);
  return { width, height, left, top, gap, panel: { width: panelWidth, height: panelHeight }, titleLine, x, y };
}

function checkSize(width: number, height: number): void {
  if (width <= mostSide && height <= mostSide && width * height <= mostPixels) return;
  throw new PushforwardError(
    "invalid-argument",
    `the picture would have ${count(width)} × ${count(height)} pixels, but at most ${count(mostSide)} at a side and ${count(mostPixels)} altogether can be drawn: take a smaller --width, another --aspect, or fewer files`,
  );
}
