import type { ScaleLinear } from "d3-scale";
import type { CanvasLibrary, Context } from "./canvas.ts";
import { densityColour, densityCss } from "./colour-map.ts";
import type { ColourScale } from "./colour-scale.ts";
import type { Grid, Points } from "./grid.ts";

type Scale = ScaleLinear<number, number>;

/** Draws the cells of a grid in the colours of their values. */
export function drawGrid(
  context: Context,
  library: CanvasLibrary,
  grid: Grid,
  colour: ColourScale,
  x: Scale,
  y: Scale,
  smooth: boolean,
): void {
  const cells = library.createCanvas(grid.columns, grid.rows);
  const cellContext = cells.getContext("2d");
  const image = cellContext.createImageData(grid.columns, grid.rows);
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const value = grid.values[row * grid.columns + column] as number;
      // An image's first row is its highest; ours is the lowest.
      const at = 4 * ((grid.rows - 1 - row) * grid.columns + column);
      image.data.set([...densityColour(colour.position(value)), 255], at);
    }
  }
  cellContext.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  const left = x(grid.x[0]);
  const top = y(grid.y[1]);
  context.drawImage(cells, left, top, x(grid.x[1]) - left, y(grid.y[0]) - top);
}

/** Draws each point as a dot, smaller and fainter the more there are, so that dense places stay readable. */
export function drawPoints(context: Context, { data, dim, axes = [0, 1] }: Points, x: Scale, y: Scale): void {
  const count = Math.max(1, Math.floor(data.length / dim));
  const radius = Math.min(2.5, Math.max(0.4, 45 / Math.sqrt(count)));
  context.fillStyle = densityCss(0.8);
  context.globalAlpha = Math.min(0.9, Math.max(0.12, 60 / Math.sqrt(count)));
  for (let i = 0; i + dim <= data.length; i += dim) {
    // both axes are below dim, so a row has them
    const px = x(data[i + axes[0]] as number);
    const py = y(data[i + axes[1]] as number);
    if (!Number.isFinite(px + py)) continue;
    if (radius < 1) {
      // At this size a square cannot be told from a disc and draws many times faster.
      context.fillRect(px - radius, py - radius, 2 * radius, 2 * radius);
      continue;
    }
    context.beginPath();
    context.arc(px, py, radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

/** Draws thin grey lines over a panel, or lines that can be followed. */
export function drawLines(
  context: Context,
  lines: readonly Float32Array[],
  x: Scale,
  y: Scale,
  isStrong = false,
): void {
  context.strokeStyle = "#1d2433";
  context.globalAlpha = isStrong ? 0.75 : 0.28;
  context.lineWidth = isStrong ? 0.9 : 0.5;
  context.lineJoin = "round";
  context.beginPath();
  for (const line of lines) {
    for (let i = 0; i + 1 < line.length; i += 2) {
      const px = x(line[i] as number);
      const py = y(line[i + 1] as number);
      if (i === 0) context.moveTo(px, py);
      else context.lineTo(px, py);
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}
