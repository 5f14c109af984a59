import { countPoints, emptyGrid, fitRange, type Grid, hasLength, type Points, type Range, withMargin } from "./grid.ts";

/** What all panels have in common: what their axes show, and the size of a cell. */
export interface Frame {
  readonly x: Range;
  readonly y: Range;
  readonly cell: readonly [width: number, height: number];
}

/** Cells along an axis: finer ones could not be seen. */
export const mostBins = 2000;

/**
 * Axes that show `range`, or else all points but the shares `trim`, with a margin; `bins` cells along x over what the points fill
 * (over `range` where it is given), and along y as many as make them square on the page.
 */
export function frameOf(
  tables: readonly Points[],
  bins: number,
  { range, trim = 0, aspect }: { range?: { x: Range; y: Range }; trim?: number; aspect?: number } = {},
): Frame {
  const filled = range ?? joined(tables.map((table) => fitRange(table, trim)));
  const { x, y } = range ?? { x: withMargin(filled.x), y: withMargin(filled.y) };
  const shape = aspect === undefined ? 1 : (length(y) / length(x)) * aspect;
  const rows = Math.min(mostBins, Math.max(1, Math.round(bins * shape)));
  const size = (inner: Range, outer: Range) => length(hasLength(inner) ? inner : outer);
  return { x, y, cell: [size(filled.x, x) / bins, size(filled.y, y) / rows] };
}

/**
 * Counts points on cells that cover where they lie on the axes and nothing else, so that none is shown where no point can be.
 * `isFixed`: on cells that cover the whole axes.
 */
export function histogram(points: Points, frame: Frame, isFixed: boolean): { grid: Grid; outside: number } {
  const own = isFixed ? frame : fitRange(points);
  const [x, columns] = cells(own.x, frame.x, frame.cell[0]);
  const [y, rows] = cells(own.y, frame.y, frame.cell[1]);
  const grid = emptyGrid(columns, rows, x, y);
  const outside = countPoints(grid, points);
  return { grid, outside };
}

/** How many points lie outside of the axes. */
export function countOutside(points: Points, { x, y }: Frame): number {
  return countPoints(emptyGrid(1, 1, x, y), points);
}

/** The part of a range that is shown, in cells of about `size`; at least one whole cell. */
function cells(own: Range, shown: Range, size: number): [Range, number] {
  const low = Math.max(own[0], shown[0]);
  const high = Math.min(own[1], shown[1]);
  const count = Math.max(1, Math.round((high - low) / size));
  if (high - low >= size * 0.999) return [[low, high], count];
  const middle = Math.min(Math.max((low + high) / 2, shown[0]), shown[1]);
  return [[middle - size / 2, middle + size / 2], 1];
}

function joined(ranges: readonly { x: Range; y: Range }[]): { x: Range; y: Range } {
  const join = (axis: "x" | "y"): Range => [
    Math.min(...ranges.map((range) => range[axis][0])),
    Math.max(...ranges.map((range) => range[axis][1])),
  ];
  return { x: join("x"), y: join("y") };
}

function length([low, high]: Range): number {
  return high - low;
}
