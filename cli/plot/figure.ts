import { scaleLinear } from "d3-scale";
import { drawAxes, drawFrame } from "./axes.ts";
import { type Context, fontFamily, loadCanvas } from "./canvas.ts";
import { drawColourBar } from "./colour-bar.ts";
import type { ColourScale } from "./colour-scale.ts";
import type { Grid, Points } from "./grid.ts";
import { drawGrid, drawLines, drawPoints } from "./marks.ts";
import { type AxisStyle, type Box, ink, paleInk } from "./style.ts";

/** One picture of the row: cells of a grid, or dots. */
export interface Panel {
  readonly title: string;
  readonly grid?: Grid;
  /** Blend neighbouring cells: right for a density known at points, wrong for counts. */
  readonly smooth?: boolean;
  readonly points?: Points;
  /** Lines over it, such as a coast; row-major [n, 2] each. */
  readonly lines?: readonly Float32Array[];
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

const margins = { left: 68, right: 22, bottom: 50, gap: 18, colourBar: 92 };

/** Draws a row of panels that share their axes and one colour bar; returns the bytes of a PNG. */
export async function renderFigure(figure: Figure): Promise<Uint8Array> {
  const library = await loadCanvas();
  const { panels, x, y, panelWidth = 420, pixelRatio = 2 } = figure;
  const spanX = x.range[1] - x.range[0];
  const spanY = y.range[1] - y.range[0];
  const height = Math.round(figure.aspect === undefined ? panelWidth : (panelWidth * spanY * figure.aspect) / spanX);
  const head = 20 + (figure.title ? 26 : 0) + (figure.subtitle ? 20 : 0);
  const top = head + 26;
  const columns = Math.max(1, panels.length);
  const body = columns * panelWidth + (columns - 1) * margins.gap;
  const width = margins.left + body + (figure.colour ? margins.colourBar : margins.right);
  const pageHeight = top + height + margins.bottom;

  const canvas = library.createCanvas(Math.round(width * pixelRatio), Math.round(pageHeight * pixelRatio));
  const context = canvas.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, pageHeight);
  drawHead(context, figure);

  for (const [i, panel] of panels.entries()) {
    const box: Box = { left: margins.left + i * (panelWidth + margins.gap), top, width: panelWidth, height };
    const scaleX = scaleLinear([...x.range], [box.left, box.left + box.width]);
    const scaleY = scaleLinear([...y.range], [box.top + box.height, box.top]);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    if (panel.grid && figure.colour) {
      drawGrid(context, library, panel.grid, figure.colour.scale, scaleX, scaleY, panel.smooth ?? false);
    }
    if (panel.points) drawPoints(context, panel.points, scaleX, scaleY);
    if (panel.lines) drawLines(context, panel.lines, scaleX, scaleY);
    context.restore();
    drawFrame(context, box);
    drawAxes(context, box, { scale: scaleX, ...x }, { scale: scaleY, ...y }, { isLeftmost: i === 0 });
    context.fillStyle = ink;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.font = `13px "${fontFamily}", sans-serif`;
    context.fillText(panel.title, box.left, box.top - 9);
  }
  if (figure.colour) {
    const left = margins.left + body + 16;
    drawColourBar(context, { left, top, width: 13, height }, figure.colour.scale, figure.colour.label);
  }
  return canvas.encode("png");
}

function drawHead(context: Context, { title, subtitle }: Figure): void {
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  let line = 36;
  if (title) {
    context.fillStyle = ink;
    context.font = `17px "${fontFamily}", sans-serif`;
    context.fillText(title, margins.left, line);
    line += 21;
  }
  if (subtitle) {
    context.fillStyle = paleInk;
    context.font = `12px "${fontFamily}", sans-serif`;
    context.fillText(subtitle, margins.left, line);
  }
}
