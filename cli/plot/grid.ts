import { item } from "../../src/must.ts";
export type Range = readonly [low: number, high: number];

/** Values on equal cells of a rectangle; cell (column, row) is at `row * columns + column`, row 0 at the lowest y. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly x: Range;
  readonly y: Range;
  readonly values: Float64Array;
}

export interface Points {
  /** Row-major [n, dim]. */
  readonly data: Float32Array | Float64Array;
  readonly dim: number;
  /** Which two columns are drawn; default [0, 1]. */
  readonly axes?: readonly [number, number];
}

export function emptyGrid(columns: number, rows: number, x: Range, y: Range): Grid {
  return { columns, rows, x, y, values: new Float64Array(columns * rows) };
}

/** Adds the points to the cells they fall in; cells are half open except the last. Returns how many fell outside. */
export function countPoints(grid: Grid, { data, dim, axes = [0, 1] }: Points): number {
  const { columns, rows, values } = grid;
  const perX = columns / (grid.x[1] - grid.x[0]);
  const perY = rows / (grid.y[1] - grid.y[0]);
  let outside = 0;
  for (let i = 0; i + dim <= data.length; i += dim) {
    // both axes are below dim, so a row has them
    const x = data[i + axes[0]] as number;
    const y = data[i + axes[1]] as number;
    // NaN fails every comparison, so it counts as outside.
    if (!(x >= grid.x[0] && x <= grid.x[1] && y >= grid.y[0] && y <= grid.y[1])) {
      outside++;
      continue;
    }
    const column = Math.min(columns - 1, Math.floor((x - grid.x[0]) * perX));
    const row = Math.min(rows - 1, Math.floor((y - grid.y[0]) * perY));
    values[row * columns + column] = (values[row * columns + column] as number) + 1;
  }
  return outside;
}

/** Counts as an estimate of the density, per unit area: count / (total · cell area). */
export function toDensity(grid: Grid, total: number): Grid {
  const area = ((grid.x[1] - grid.x[0]) / grid.columns) * ((grid.y[1] - grid.y[0]) / grid.rows);
  return { ...grid, values: grid.values.map((count) => count / (Math.max(1, total) * area)) };
}

/** The centres of all cells as row-major [columns · rows, 2] points, in the grid's order. */
export function cellCentres(grid: Grid): Float32Array {
  const points = new Float32Array(2 * grid.columns * grid.rows);
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const i = 2 * (row * grid.columns + column);
      points[i] = grid.x[0] + ((column + 0.5) / grid.columns) * (grid.x[1] - grid.x[0]);
      points[i + 1] = grid.y[0] + ((row + 0.5) / grid.rows) * (grid.y[1] - grid.y[0]);
    }
  }
  return points;
}

/**
 * The ranges that the points fill. `trim` (a share such as 0.001) leaves out the farthest points at each end, so that one
 * outlier does not shrink the picture. Without points: from −1 to 1.
 */
export function fitRange({ data, dim, axes = [0, 1] }: Points, trim = 0): { x: Range; y: Range } {
  return { x: fitOne(data, dim, axes[0], trim), y: fitOne(data, dim, axes[1], trim) };
}

function fitOne(data: Points["data"], dim: number, axis: number, trim: number): Range {
  const values = new Float64Array(Math.ceil(Math.max(0, data.length - axis) / dim));
  let count = 0;
  for (let i = axis; i < data.length; i += dim) {
    const value = data[i] as number;
    if (Number.isFinite(value)) values[count++] = value;
  }
  if (count === 0) return [-1, 1];
  const sorted = values.subarray(0, count).sort();
  const cut = Math.floor(trim * (count - 1));
  return [item(sorted, cut), item(sorted, count - 1 - cut)];
}

/** Whether a range has a length, as far as f64 can tell its values apart. */
export function hasLength([low, high]: Range): boolean {
  return high - low > 1e-12 * Math.max(Math.abs(low), Math.abs(high));
}

/** The range with 4 % more at each end; about a single value, half of it, or ±0.5 about 0. */
export function withMargin(range: Range): Range {
  const [low, high] = range;
  const size = Math.max(Math.abs(low), Math.abs(high));
  const margin = hasLength(range) ? 0.04 * (high - low) : size === 0 ? 0.5 : size / 2;
  return [low - margin, high + margin];
}

/** The value below which a share `q` of the positive values lies; 0 where none is positive. */
export function positiveQuantile(values: Float64Array, q: number): number {
  const positive = values.filter((value) => value > 0).sort();
  if (positive.length === 0) return 0;
  return item(positive, Math.min(positive.length - 1, Math.floor(q * positive.length)));
}
