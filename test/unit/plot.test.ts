import { createCanvas, loadImage } from "@napi-rs/canvas";
import { expect, test } from "vitest";
import { densityColour, oklchToRgb } from "../../cli/plot/colour-map.ts";
import { colourScale } from "../../cli/plot/colour-scale.ts";
import { type Figure, renderFigure } from "../../cli/plot/figure.ts";
import {
  cellCentres,
  countPoints,
  emptyGrid,
  fitRange,
  positiveQuantile,
  toDensity,
  withMargin,
} from "../../cli/plot/grid.ts";
import { countOutside, frameOf, histogram } from "../../cli/plot/histogram.ts";
import { fitted } from "../../cli/plot/text.ts";
import { numberText, tickLabels } from "../../cli/plot/ticks.ts";

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

test("ranges are those of the points, ignore what is not a number, and get a margin on axes alone", () => {
  const data = Float32Array.of(0, 5, 100, 5, Number.NaN, Number.POSITIVE_INFINITY);
  const { x, y } = fitRange({ data, dim: 2 });
  expect([x, y]).toEqual([
    [0, 100],
    [5, 5],
  ]);
  expect(withMargin(x)).toEqual([-4, 104]);
  for (const value of [5, -7e-6, 0, 1e30]) {
    const [low, high] = withMargin([value, value]);
    expect(low < value && high > value).toBe(true);
  }
  expect(fitRange({ data: new Float32Array(0), dim: 2 }).x).toEqual([-1, 1]);
});

test("cells cover what the points fill and nothing else, in each panel", () => {
  const left = { data: Float64Array.of(0, 5.4e6, 1e-6, 5.4e6 + 0.1), dim: 2 };
  const right = { data: Float64Array.of(2e-6, 5.4e6 + 0.05, 4e-6, 5.4e6 + 0.2, 3e-6, 5.4e6 + 0.1), dim: 2 };
  const frame = frameOf([left, right], 40);
  expect(frame.x[0]).toBeCloseTo(-0.16e-6, 15);
  const counted = [left, right].map((points) => histogram(points, frame, false));
  expect(counted.map(({ grid }) => [grid.x, grid.columns, grid.rows])).toEqual([
    [[0, 1e-6], 10, 20],
    [[2e-6, 4e-6], 20, 30],
  ]);
  expect(counted.map(({ outside }) => outside)).toEqual([0, 0]);
  // an f32 would have put both rows at 5,400,000
  const values = counted[0]?.grid.values ?? [];
  expect([values[0], values.at(-1)]).toEqual([1, 1]);
});

test("a single value fills one cell, and a range that was asked for is filled with cells", () => {
  const one = { data: Float64Array.of(3, 7e-6), dim: 2 };
  const { grid } = histogram(one, frameOf([one], 40), false);
  expect([grid.columns, grid.rows, Array.from(grid.values)]).toEqual([1, 1, [1]]);
  const frame = frameOf([one], 10, { range: { x: [0, 10], y: [0, 1] } });
  expect(histogram(one, frame, true).grid).toMatchObject({ columns: 10, rows: 10, x: [0, 10], y: [0, 1] });
  expect(countOutside(one, frameOf([one], 10, { range: { x: [4, 10], y: [0, 1] } }))).toBe(1);
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

test.each([
  [[0, 0.5, 1], ["0.0", "0.5", "1.0"], ""],
  [[1990, 1995, 2000], ["1990", "1995", "2000"], ""],
  [[-150_000, -100_000], ["−150,000", "−100,000"], ""],
  [[0, 2e-6, 4e-6], ["0", "2", "4"], "×10⁻⁶"],
  [[-1e30, -5e29, 0], ["−1.0", "−0.5", "0.0"], "×10³⁰"],
  [[5399999.9, 5400000, 5400000.1], ["−0.1", "0.0", "0.1"], "+5,400,000"],
  [[-5400000.1, -5400000], ["−0.1", "0.0"], "−5,400,000"],
  [[5400000.199998, 5400000.2, 5400000.200002], ["−2", "0", "2"], "×10⁻⁶ + 5,400,000.2"],
  [[1.7e9, 1.7e9 + 1000], ["0", "1000"], "+1,700,000,000"],
  [[-73.991, -73.9905], ["−73.9910", "−73.9905"], ""],
  [[1e-40, 2e-40], ["1", "2"], "×10⁻⁴⁰"],
  [[1e-310, 2e-310], ["1", "2"], "×10⁻³¹⁰"],
  [[0.25], ["0.25"], ""],
  [[3e7], ["3"], "×10⁷"],
  [[0], ["0"], ""],
])("ticks at %j are labelled %j, %j", (values, texts, note) => {
  expect(tickLabels(values)).toEqual({ texts, note });
});

test("numbers are written out while they are short, else with a power of ten", () => {
  expect([5.4e6, 450000.2, 0.002, 2e-7, 1e30, -1.5e30, 0].map(numberText)).toEqual([
    "5,400,000",
    "450,000.2",
    "0.002",
    "2×10⁻⁷",
    "10³⁰",
    "−1.5×10³⁰",
    "0",
  ]);
});

test("a text that is too wide keeps its beginning and its end", () => {
  const context = createCanvas(1, 1).getContext("2d");
  const short = fitted(context, "a_very_long_name_of_a_column", 80);
  expect(short).toMatch(/^a_ve.*….*umn$/);
  expect(context.measureText(short).width).toBeLessThanOrEqual(80);
  expect(fitted(context, " two\nlines ", 80)).toBe("two lines");
  expect(fitted(context, "wide", 0)).toBe("…");
});

const long = "a_column_whose_name_is_far_longer_than_any_picture_of_it_and_then_some_more_of_it";
test.each([
  ["small", [0, 3.5e-6], [-1e-9, 1e-9], 200, 1e12],
  ["large", [5_399_999.9, 5_400_000.1], [450_000.2 - 1e-6, 450_000.2 + 1e-6], 90, 1e6],
  ["negative", [-1e7, -9e6], [-1e30, -1e29], 120, 123_456],
  ["narrow", [-0.00012345, 100_000], [0.1234567, 0.1234568], 50, 1e-61],
] as const)("nothing that stands around the panels is cut: %s", async (_, x, y, panelWidth, high) => {
  for (const kind of ["linear", "sqrt", "log"] as const) {
    const panel = { title: long, detail: "3,000 rows" };
    const { at, width, height } = await pixels({
      title: long,
      panels: [panel, panel, panel],
      x: { range: x, label: long },
      y: { range: y, label: long },
      colour: { scale: colourScale(kind, kind === "linear" ? 0 : high / 3, high), label: "density" },
      panelWidth,
      pixelRatio: 1,
    });
    const border = [
      ...Array.from({ length: width }, (_, i) => [at(i, 0), at(i, 1), at(i, height - 1)]),
      ...Array.from({ length: height }, (_, i) => [at(0, i), at(1, i), at(width - 1, i), at(width - 2, i)]),
    ].flat(2);
    expect(Math.min(...border)).toBe(255);
  }
});

test("a picture that cannot be drawn is refused with its size and the options that change it", async () => {
  const square = {
    panels: [{ title: "a" }],
    x: { range: [0, 1] as const, label: "x" },
    y: { range: [0, 1] as const, label: "y" },
  };
  await expect(renderFigure({ ...square, aspect: 1e6 })).rejects.toThrow(
    "840 × 840,000,000 pixels, but at most 32,000 at a side and 100,000,000 altogether can be drawn: take a smaller --width",
  );
  await expect(renderFigure({ ...square, aspect: 0.01 })).rejects.toThrow("4 pixels high, but they need at least 50");
  await expect(renderFigure({ ...square, panels: Array(99).fill({ title: "a" }) })).rejects.toThrow("fewer files");
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
