import { rowDraw } from "../../shaders/row-draws.ts";
import { nearestNeighbourDistances } from "../data/neighbours.ts";
import { circularAxes } from "../data/transform.ts";
import { rowsInFlow } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite } from "../flow/rows.ts";
import { item } from "../must.ts";
import { turn } from "../network/circle.ts";
import { checked } from "../options/schema.ts";
import { checkFinite, show } from "../options.ts";
import { randomIndex } from "../random/philox.ts";
import { neighbourNoiseFields } from "./later-fields.ts";
import type { TrainingPlan } from "./plan.ts";

/** Rows with more columns have no neighbours that are found faster than by looking at all. */
const mostColumns = 16;

/** How the rows of a training are drawn, where not all alike and as they are: see {@link rowDraws}. */
export interface RowDraws {
  /** [rows] of (limit, other, deviation). */
  readonly table: Uint32Array;
  /** The option, with all that was left out. */
  readonly noise: unknown;
}

export const rowDrawsName = "row draws";

export const rowDrawsBuffer = ({ table }: RowDraws) => ({ name: rowDrawsName, bytes: table.byteLength, data: table });

/**
 * Checks the options `noise` and `rowWeights` and makes the table of them.
 *
 * @throws PushforwardError `invalid-argument` for numbers that are no deviations or shares, and for neighbours that there are not.
 */
export function makeRowDraws(what: string, flow: Flow, data: DataRows, plan: TrainingPlan): RowDraws | undefined {
  const { rows } = plan;
  const { noise, rowWeights, rowOrder } = plan.options;
  if (rowWeights !== undefined && rowOrder !== undefined)
    throw invalid(
      `${what}: rowOrder is "${rowOrder}", where each pass has every row once, but rowWeights give rows shares of their own: leave one of them out`,
    );
  if (noise === undefined && rowWeights === undefined) return undefined;
  const table = new Uint32Array(rows * rowDraw.words);
  shareOut(what, table, rowWeights && checkEach(what, "rowWeights", rowWeights, rows), rows);
  if (noise === undefined) return { table, noise };
  const own = noiseOf(what, flow, data, noise, rows);
  const floats = new Float32Array(table.buffer);
  for (let row = 0; row < rows; row++)
    floats[row * rowDraw.words + rowDraw.at.deviation] = own.deviations[row] as number;
  return { table, noise: own.noise };
}

/** A number of at least 0 for each row. */
function checkEach(what: string, name: string, values: unknown, rows: number): Float32Array {
  if (!(values instanceof Float32Array) || values.length !== rows)
    throw invalid(`${what}: ${name} is ${show(values)}, but ${rows} rows need a Float32Array of ${rows}`);
  checkAllFinite(what, name, values, 1);
  const bad = values.findIndex((value) => value < 0);
  if (bad >= 0) throw invalid(`${what}: ${name}[${bad}] is ${values[bad]}, but it is a number of at least 0`);
  return values;
}

/** The standard deviation of each row's noise, and the option with all that was left out. */
function noiseOf(
  what: string,
  flow: Flow,
  data: DataRows,
  noise: NonNullable<TrainingPlan["options"]["noise"]>,
  rows: number,
): { deviations: ArrayLike<number>; noise: unknown } {
  if (typeof noise === "number")
    return { deviations: new Float32Array(rows).fill(checkFinite(`${what}: noise`, noise, 0, 1e30)), noise };
  if (typeof noise !== "object" || noise === null || ArrayBuffer.isView(noise))
    return { deviations: checkEach(what, "noise", noise, rows), noise };
  const name = `${what}: noise`;
  const own = checked(name, neighbourNoiseFields, noise, `${name}.`);
  const { neighbour, factor, floor } = own;
  if (neighbour >= rows)
    throw invalid(`${name}.neighbour is ${neighbour}, but ${rows} rows have ${rows - 1} neighbours: pass fewer`);
  const { points, columns } = pointsOf(what, flow, data);
  if (columns > mostColumns)
    throw invalid(
      `${name} is by neighbours, which are found for up to ${mostColumns} columns, but the data has ${columns}: pass the deviation of each row, a Float32Array of ${rows}`,
    );
  const distances = nearestNeighbourDistances(points, columns, neighbour);
  return { deviations: distances.map((distance) => factor * Math.max(distance, floor)), noise: own };
}

/** Rows in the flow's own space as neighbours are looked for: an angle is a point of a circle of its own, whose chords are distances. */
function pointsOf(what: string, flow: Flow, data: DataRows): { points: Float32Array; columns: number } {
  const { dim, transform } = flow;
  const own = rowsInFlow(what, "data", data, flow);
  const circular = circularAxes(transform);
  if (circular.length === 0) return { points: own, columns: dim };
  const radius = turn / (2 * Math.PI);
  const columns = dim + circular.length;
  const points = new Float32Array((own.length / dim) * columns);
  for (let row = 0; row < own.length / dim; row++) {
    const values = own.subarray(row * dim, (row + 1) * dim);
    points.set(values, row * columns);
    for (const [k, axis] of circular.entries()) {
      const angle = item(values, axis) / radius;
      points[row * columns + axis] = radius * Math.cos(angle);
      points[row * columns + dim + k] = radius * Math.sin(angle);
    }
  }
  return { points, columns };
}

/**
 * The alias method (Walker 1977; Vose 1991): each of n places is as likely as the others and belongs to its row up to a limit, from there
 * on to another row, so that each row has its share of all places. Without weights a place is its row's alone.
 */
function shareOut(what: string, table: Uint32Array, weights: Float32Array | undefined, rows: number): void {
  const { words, at } = rowDraw;
  const put = (row: number, own: number, other: number) => {
    table[row * words + at.limit] = Math.min(2 ** 32 - 1, Math.round(own * 2 ** 32));
    table[row * words + at.other] = other;
  };
  if (!weights) {
    for (let row = 0; row < rows; row++) put(row, 1, row);
    return;
  }
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum === 0)
    throw invalid(`${what}: rowWeights are all 0, but some row must be drawn: pass a positive number for it`);
  const left = Float64Array.from(weights, (weight) => (weight / sum) * rows);
  const small: number[] = [];
  const large: number[] = [];
  for (const [row, share] of left.entries()) (share < 1 ? small : large).push(row);
  while (small.length > 0 && large.length > 0) {
    const [less, more] = [small.pop() as number, item(large, large.length - 1)];
    put(less, left[less] as number, more);
    left[more] = (left[more] as number) - (1 - (left[less] as number));
    if ((left[more] as number) < 1) small.push(large.pop() as number);
  }
  // 1 but for rounding
  for (const row of [...small, ...large]) put(row, 1, row);
}

/** The row that a sample's words choose, as the device finds it. */
export function drawnRow(draws: RowDraws | undefined, words: Uint32Array, rows: number): number {
  const row = randomIndex(words[0] as number, rows);
  if (!draws) return row;
  const own = draws.table.subarray(row * rowDraw.words);
  const { limit, other } = rowDraw.at;
  return (words[1] as number) < (own[limit] as number) ? row : (own[other] as number);
}
