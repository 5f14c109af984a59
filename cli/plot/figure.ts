import { scaleLinear } from "d3-scale";
import { drawAxes, drawFrame } from "./axes.ts";
import { type Context, loadCanvas } from "./canvas.ts";
import { barGap, barWidth, drawColourBar } from "./colour-bar.ts";
import type { ColourScale } from "./colour-scale.ts";
import type { Grid, Points } from "./grid.ts";
import { type Layout, layOut } from "./layout.ts";
import { drawGrid, drawLines, drawPoints } from "./marks.ts";
import { type AxisStyle, type Box, ink, paleInk } from "./style.ts";
import { fitted, setFont, widthOf } from "./text.ts";

/** One picture of the row: cells of a grid, or dots. */
export interface Panel {
  readonly title: string;
  /** Behind the title, where there is room for all of it. */
  readonly detail?: string;
  readonly grid?: Grid;
  /** Blend neighbouring cells: right for a density known at points, wrong for counts. */
  readonly smooth?: boolean;
  readonly points?: Points;
  /** Lines over it, such as a coast; row-major [n, 2] each. */
  readonly lines?: readonly Float32Array[];
  /** Lines that are what the panel shows, such as arrows, and not what it is seen against. */
  readonly strong?: boolean;
}

export interface Figure {
  readonly title?: string;
  readonly subtitle?: string;
  readonly panels: readonly Panel[];
  /** All panels share both axes. */
  readonly x: AxisStyle;
  readonly y: AxisStyle;
  readonly colour?: { readonly scale: ColourScale; readonly label: string };
  /** Width of one panel in CSS pixels; default 420. */
  readonly panelWidth?: number;
  /** Length of a unit of y over that of a unit of x on the page; default: a square panel. */
  readonly aspect?: number;
  /** Device pixels per CSS pixel; default 2. */
  readonly pixelRatio?: number;
}

/**
 * Draws a row of panels that share their axes and one colour bar; returns the bytes of a PNG. Throws `invalid-argument` for a
 * picture that is too large, or panels that are too low, to be drawn.
 */
export async function renderFigure(figure: Figure): Promise<Uint8Array> {
  const library = await loadCanvas();
  const { panels, pixelRatio = 2 } = figure;
  const page = layOut(library.createCanvas(1, 1).getContext("2d"), figure);
  const canvas = library.createCanvas(Math.round(page.width * pixelRatio), Math.round(page.height * pixelRatio));
  const context = canvas.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, page.width, page.height);
  drawHead(context, figure, page);

  for (const [i, panel] of panels.entries()) {
    const { width, height } = page.panel;
    const box: Box = { left: page.left + i * (width + page.gap), top: page.top, width, height };
    const scaleX = scaleLinear([...page.x.range], [box.left, box.left + box.width]);
    const scaleY = scaleLinear([...page.y.range], [box.top + box.height, box.top]);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    if (panel.grid && figure.colour) {
      drawGrid(context, library, panel.grid, figure.colour.scale, scaleX, scaleY, panel.smooth ?? false);
    }
    if (panel.points) drawPoints(context, panel.points, scaleX, scaleY);
    if (panel.lines) drawLines(context, panel.lines, scaleX, scaleY, panel.strong);
    context.restore();
    drawFrame(context, box);
    const place = { isLeftmost: i === 0, slot: width + page.gap - 8 };
    drawAxes(context, box, { scale: scaleX, ...page.x }, { scale: scaleY, ...page.y }, place);
    context.fillStyle = ink;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    setFont(context, 13);
    context.fillText(titleText(context, panel, width + 8), box.left, page.titleLine);
  }
  if (figure.colour) {
    const { width, height } = page.panel;
    const left = page.left + panels.length * (width + page.gap) - page.gap + barGap;
    drawColourBar(context, { left, top: page.top, width: barWidth, height }, figure.colour.scale, figure.colour.label);
  }
  return canvas.encode("png");
}

function titleText(context: Context, { title, detail }: Panel, width: number): string {
  const end = detail === undefined ? "" : ` · ${detail}`;
  const room = width - widthOf(context, end);
  // half of a number would be another number
  return room < Math.min(60, widthOf(context, title))
    ? fitted(context, title, width)
    : fitted(context, title, room) + end;
}

function drawHead(context: Context, { title, subtitle }: Figure, page: Layout): void {
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  const room = page.width - page.left - 8;
  let line = 36;
  if (title) {
    context.fillStyle = ink;
    setFont(context, 17);
    context.fillText(fitted(context, title, room), page.left, line);
    line += 21;
  }
  if (subtitle) {
    context.fillStyle = paleInk;
    setFont(context, 12);
    context.fillText(fitted(context, subtitle, room), page.left, line);
  }
}
