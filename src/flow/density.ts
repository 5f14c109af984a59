import { rowsInside } from "../data/transform-maps.ts";
import { item } from "../must.ts";
import { checked } from "../options/schema.ts";
import { densityGridFields } from "./analysis-fields.ts";
import { cellConditions, checkCells, gridPoints } from "./cells.ts";
import { collect } from "./collect.ts";
import { endedLogProb } from "./ended.ts";
import type { CheckedLogProb } from "./fields.ts";
import type { DensityGridOptions } from "./options.ts";
import { scoreRequest } from "./requests.ts";
import type { FlowOnDevice } from "./shape.ts";

/** A density at the centres of a grid of cells; row-major over the axes, the last one fastest. */
export interface DensityGrid {
  /** log p_t, nats, [cells]; NaN where the solve of a cell did not end. */
  logProb: Float32Array;
  /** p_t, [cells]; NaN as log p. */
  density: Float32Array;
  /** Volume of a cell, in data units. */
  volume: number;
  /** Σ p · volume: the probability of the box by the midpoint rule, over the cells whose density is known. */
  mass: number;
  /** Cells whose log p is NaN or infinite; where it is −∞ the density is 0, which the mass has. */
  nonFinite: number;
  /** Cells whose adaptive solve did not end, which the mass lacks. */
  unfinished: number;
}

/** See {@link Flow.densityGrid}. */
export async function densityGrid(flow: FlowOnDevice, o: DensityGridOptions): Promise<DensityGrid> {
  const what = "densityGrid";
  const { box, cells, label, context, ...options } = checked(what, densityGridFields, o);
  const { total, steps, centre, volume } = checkCells(what, flow, box, cells);
  const points = gridPoints(centre, steps, cells);
  const { dim, transform } = flow;
  /** The cells whose centres are in the space of the data: elsewhere the density is 0. */
  const { inside, rows: scored } = transform ? rowsInside(points, transform) : { inside: undefined, rows: points };
  const count = scored.length / dim;
  const given: CheckedLogProb = { ...options, ...cellConditions(what, flow, label, context) };
  const request = scoreRequest(flow, what, scored, given);
  const solved = await collect(flow, request, options);
  const known = endedLogProb(solved);
  const logProb = inside ? new Float32Array(total).fill(Number.NEGATIVE_INFINITY) : known;
  for (const [k, cell] of inside?.entries() ?? []) logProb[cell] = item(known, k);
  const density = logProb.map((value) => Math.exp(value));
  const mass = volume * density.reduce((sum, p) => (Number.isFinite(p) ? sum + p : sum), 0);
  return {
    logProb,
    density,
    volume,
    mass,
    nonFinite: solved.nonFinite + total - count,
    unfinished: solved.unfinished ?? 0,
  };
}
