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
  readonly data: Float32Array;
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
    const x = data[i + axes[0]] ?? Number.NaN;
    const y = data[i + axes[1]] ?? Number.NaN;
    // NaN fails every comparison, so it counts as outside.
    if (!(x >= grid.x[0] && x <= grid.x[1] && y >= grid.y[0] && y <= grid.y[1])) {
      outside++;
      continue;
    }
    const column = Math.min(columns - 1, Math.floor((x - grid.x[0]) * perX));
    const row = Math.min(rows - 1, Math.floor((y - grid.y[0]) * perY));
    values[row * columns + column] = (values[row * columns + column] ?? 0) + 1;
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
 * Ranges that hold the points with a margin of 4 %. `trim` (a share such as 0.001) leaves out the farthest points at
 * each end, so that one outlier does not shrink the picture.
 */
export function fitRange({ data, dim, axes = [0, 1] }: Points, trim = 0): { x: Range; y: Range } {
  return { x: fitOne(data, dim, axes[0], trim), y: fitOne(data, dim, axes[1], trim) };
}

function fitOne(data: Float32Array, dim: number, axis: number, trim: number): Range {
  const values: number[] = [];
  for (let i = axis; i < data.length; i += dim) {
    const value = data[i] ?? Number.NaN;
    if (Number.isFinite(value)) values.push(value);
  }
  if (values.length === 0) return [-1, 1];
  const sorted = Float64Array.from(values).sort();
  const cut = Math.floor(trim * (sorted.length - 1));
  const low = sorted[cut] ?? 0;
  const high = sorted[sorted.length - 1 - cut] ?? 0;
  const margin = high > low ? 0.04 * (high - low) : Math.max(1, Math.abs(low)) * 0.5;
  return [low - margin, high + margin];
}

/** The value below which a share `q` of the positive values lies; 0 where none is positive. */
export function positiveQuantile(values: Float64Array, q: number): number {
  const positive = values.filter((value) => value > 0).sort();
  return positive[Math.min(positive.length - 1, Math.floor(q * positive.length))] ?? 0;
}
