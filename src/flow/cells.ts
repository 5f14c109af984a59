import { checkResolution } from "../data/grid-resolution.ts";
import { blocks, type Transform } from "../data/transform.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { checkInteger, checkSingle, show } from "../options.ts";
import { conditioning, type FlowShape } from "./shape.ts";
import type { Normalization } from "./source.ts";

/** A grid of equal cells over a box. Arrays over the cells are row-major over the axes, the last one fastest. */
export interface Cells {
  /** Low and high end of each axis, in data units. */
  box: [low: number, high: number][];
  /** Cells along each axis. */
  cells: number[];
}

/** The most cells of a grid. */
const mostCells = 2 ** 22;

/** Checks a grid for a flow of `dim` axes; its number of cells, their sizes, the centre of the first and the volume of each. */
export function checkCells(
  what: string,
  {
    dim,
    normalization,
    transform,
  }: {
    readonly dim: number;
    readonly normalization: Normalization | undefined;
    readonly transform?: Transform | undefined;
  },
  box: Cells["box"],
  cells: Cells["cells"],
) {
  if (dim > 3)
    throw invalid(
      `${what}: the flow has dim ${dim}, but a grid of cells is for dim up to 3: take points of your own with logProb or flux`,
    );
  if (!Array.isArray(box) || box.length !== dim)
    throw invalid(`${what}: box is ${show(box)}, but it is [low, high] for each of ${dim} axes`);
  if (!Array.isArray(cells) || cells.length !== dim)
    throw invalid(`${what}: cells is ${show(cells)}, but it is a count for each of ${dim} axes`);
  for (const [axis, ends] of box.entries()) {
    if (!Array.isArray(ends) || ends.length !== 2)
      throw invalid(`${what}: box[${axis}] is ${show(ends)}, but it is [low, high]`);
    checkSingle(`${what}: box[${axis}][0]`, ends[0]);
    checkSingle(`${what}: box[${axis}][1]`, ends[1]);
    if (!(ends[0] < ends[1])) throw invalid(`${what}: box[${axis}] is [${ends.join(", ")}], but low is less than high`);
  }
  for (const [axis, one] of transform ? blocks(transform) : []) {
    const [low, high] = item(box, axis);
    if (one.kind === "circular" && high - low > one.period * (1 + 1e-6))
      throw invalid(
        `${what}: box[${axis}] is [${low}, ${high}], but that axis is circular with the period ${one.period}, and more would count it twice: pass a turn or less`,
      );
  }
  for (const [axis, count] of cells.entries()) {
    checkInteger(`${what}: cells[${axis}]`, count, 1, 4096);
    checkResolution(
      `${what}: box[${axis}]`,
      item(box, axis),
      count,
      "cells",
      transform ? undefined : normalization,
      axis,
    );
  }
  const total = cells.reduce((product, count) => product * count, 1);
  if (total > mostCells)
    throw invalid(`${what}: ${cells.join(" × ")} cells are ${total}, but at most ${mostCells} are taken: use fewer`);
  const steps = box.map(([low, high], axis) => (high - low) / item(cells, axis));
  const centre = box.map(([low], axis) => low + item(steps, axis) / 2);
  return { total, steps, centre, volume: steps.reduce((product, step) => product * step, 1) };
}

/** Centres of a grid whose axes have `counts` points from `lows` on, `steps` apart; row-major, the last axis fastest; in f64. */
export function gridPoints(lows: readonly number[], steps: readonly number[], counts: readonly number[]): Float64Array {
  const dim = counts.length;
  const n = counts.reduce((product, count) => product * count, 1);
  const points = new Float64Array(n * dim);
  // an entry for each axis in all three: checkCells
  for (let index = 0; index < n; index++) {
    let rest = index;
    for (let axis = dim - 1; axis >= 0; axis--) {
      const count = counts[axis] as number;
      points[index * dim + axis] = (lows[axis] as number) + (rest % count) * (steps[axis] as number);
      rest = Math.floor(rest / count);
    }
  }
  return points;
}

/** The class and the context of all cells, as particles have them. */
export function cellConditions(
  what: string,
  flow: FlowShape,
  label: number | undefined,
  context: Float32Array | undefined,
): { labels?: Uint32Array; context?: Float32Array } {
  const inputs = conditioning(flow);
  if (label !== undefined) checkInteger(`${what}: label`, label, 0, Math.max(0, inputs.classes - 1));
  if (context !== undefined && !(context instanceof Float32Array && context.length === inputs.context))
    throw invalid(`${what}: context is ${show(context)}, but it is a Float32Array of the ${inputs.context} inputs`);
  return { ...(label !== undefined && { labels: Uint32Array.of(label) }), ...(context && { context }) };
}
