import { createCanvas, loadImage } from "@napi-rs/canvas";
import { expect, test } from "vitest";
import { densityColour, oklchToRgb } from "../../cli/plot/colour-map.ts";
import { colourScale } from "../../cli/plot/colour-scale.ts";
import { type Figure, renderFigure } from "../../cli/plot/figure.ts";
import { cellCentres, countPoints, emptyGrid, fitRange, positiveQuantile, toDensity } from "../../cli/plot/grid.ts";

async function pixels(figure: Figure) {
  const image = await loadImage(Buffer.from(await renderFigure(figure)));
  const context = createCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  return {
    width: image.width,
    height: image.height,
    at: (x: number, y: number) => Array.from(context.getImageData(x, y, 1, 1).data.slice(0, 3)),
  };
}

test("points are counted in their cells, the last edge belongs to the last cell, others are outside", () => {
  const grid = emptyGrid(3, 2, [0, 3], [0, 2]);
  const data = Float32Array.of(0.5, 0.5, 2.5, 1.5, 3, 2, 3.1, 1, Number.NaN, 1, 1, 0);
  expect(countPoints(grid, { data, dim: 2 })).toBe(2);
  expect(Array.from(grid.values)).toEqual([1, 1, 0, 0, 0, 2]);
});

test("any two columns of wider data can be counted", () => {
  const grid = emptyGrid(2, 2, [0, 2], [0, 2]);
  countPoints(grid, { data: Float32Array.of(9, 0.5, 9, 1.5), dim: 4, axes: [3, 1] });
  expect(Array.from(grid.values)).toEqual([0, 1, 0, 0]);
});

test("a density sums to one over the area", () => {
  const grid = emptyGrid(3, 5, [-1, 2], [0, 10]);
  countPoints(grid, { data: Float32Array.of(0, 1, 1, 2, -1, 9), dim: 2 });
  const sum = toDensity(grid, 3).values.reduce((a, b) => a + b, 0);
  expect(sum * (3 / 3) * (10 / 5)).toBeCloseTo(1, 12);
});

test("cell centres fall into their own cells", () => {
  const grid = emptyGrid(7, 3, [-2, 5], [1, 2]);
  countPoints(grid, { data: cellCentres(grid), dim: 2 });
  expect(Array.from(grid.values)).toEqual(Array(21).fill(1));
});

test("ranges hold the points with a margin, ignore what is not a number, and are never empty", () => {
  const data = Float32Array.of(0, 5, 100, 5, Number.NaN, Number.POSITIVE_INFINITY);
  const { x, y } = fitRange({ data, dim: 2 });
  expect(x).toEqual([-4, 104]);
  expect(y[1]).toBeGreaterThan(y[0]);
  expect(fitRange({ data: new Float32Array(0), dim: 2 }).x).toEqual([-1, 1]);
});

test("trimming leaves out a lone outlier", () => {
  const data = new Float32Array(2000);
  for (let i = 0; i < 1000; i++) data[2 * i] = i / 1000;
  data[0] = 1e6;
  expect(fitRange({ data, dim: 2 }, 0.005).x[1]).toBeLessThan(1.1);
});

test("quantiles look at positive values alone", () => {
  expect(positiveQuantile(Float64Array.of(0, 0, 3, 1, 2), 0.5)).toBe(2);
  expect(positiveQuantile(Float64Array.of(0), 0.5)).toBe(0);
});

test("the colour map darkens evenly from white, so that it also reads in grey", () => {
  expect(densityColour(0)).toEqual([255, 255, 255]);
  // Rec. 709 luminance of the encoded values is close enough to order greys.
  const grey = ([r, g, b]: readonly number[]) => 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
  const greys = Array.from({ length: 65 }, (_, i) => grey(densityColour(i / 64)));
  for (let i = 1; i < greys.length; i++) expect(greys[i]).toBeLessThan(greys[i - 1] ?? 0);
  expect(densityColour(Number.NaN)).toEqual(densityColour(0));
  expect(densityColour(7)).toEqual(densityColour(1));
});

test("OKLCh conversion agrees with published sRGB values", () => {
  // Ottosson's OKLab of pure red: L 0.62796, C 0.25768, h 29.234°.
  expect(oklchToRgb(0.62796, 0.25768, 29.234)).toEqual([255, 0, 0]);
  expect(oklchToRgb(0.5, 0, 0)).toEqual([99, 99, 99]);
});

test("a log scale marks powers of ten, and 1–2–5 steps within one decade", () => {
  const wide = colourScale("log", 1e-4, 1);
  expect(wide.ticks.map((tick) => tick.text)).toEqual(["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]);
  expect(wide.position(1e-2)).toBeCloseTo(0.5, 12);
  expect(wide.position(0)).toBe(0);
  expect(wide.position(9)).toBe(1);
  expect(colourScale("log", 1.5, 8).ticks.map((tick) => tick.text)).toEqual(["2", "5"]);
});

test("square-root and linear scales start at their lower end", () => {
  expect(colourScale("sqrt", 0, 100).position(25)).toBeCloseTo(0.5, 12);
  expect(colourScale("linear", 0, 100).position(25)).toBeCloseTo(0.25, 12);
  expect(() => colourScale("log", 0, 1)).toThrow(RangeError);
  expect(() => colourScale("linear", 2, 2)).toThrow(RangeError);
});

test("a figure draws its cells where they belong: right way up, white where nothing is", async () => {
  const grid = emptyGrid(2, 2, [0, 2], [0, 2]);
  grid.values[3] = 10; // The upper right cell.
  const { at, width, height } = await pixels({
    panels: [{ title: "one", grid }],
    x: { range: [0, 2], label: "x" },
    y: { range: [0, 2], label: "y" },
    colour: { scale: colourScale("linear", 0, 10), label: "count" },
    panelWidth: 100,
    pixelRatio: 1,
  });
  expect([width, height]).toEqual([68 + 100 + 92, 46 + 100 + 50]);
  expect(at(68 + 75, 46 + 25)).toEqual(Array.from(densityColour(1)));
  expect(at(68 + 25, 46 + 25)).toEqual([255, 255, 255]);
  expect(at(68 + 75, 46 + 75)).toEqual([255, 255, 255]);
});

test("panels stand side by side with the same axes, and dots are dark on light", async () => {
  const points = { data: Float32Array.of(1, 1), dim: 2 };
  const figure = {
    title: "two",
    panels: [
      { title: "left", points },
      { title: "right", points },
    ],
    x: { range: [0, 2] as const, label: "x" },
    y: { range: [0, 2] as const, label: "y" },
    panelWidth: 100,
    pixelRatio: 1,
  };
  const { at, width } = await pixels(figure);
  expect(width).toBe(68 + 100 + 18 + 100 + 22);
  const middle = 20 + 26 + 26 + 50;
  for (const x of [68 + 50, 68 + 118 + 50]) expect(Math.max(...at(x, middle))).toBeLessThan(200);
  expect(at(68 + 20, middle)).toEqual([255, 255, 255]);
});
