import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { turn } from "../network/circle.ts";
import { show } from "../options.ts";
import type { Normalization } from "./normalization.ts";
import { type AxisTransform, axesOf, blocks, checkTransform, sizeOf, type Transform } from "./transform.ts";
import { type DataRows, dataRows, ownRows } from "./units.ts";

/** The units of a flow's data; a flow has these. */
export interface DataUnits {
  readonly normalization?: Normalization | undefined;
  readonly transform?: Transform | undefined;
}

/** Rows [n, dim] of data in the flow's own space: out of the transform's, then centred and scaled, all in f64 before it becomes f32. */
export function rowsInFlow(what: string, name: string, rows: DataRows, units: DataUnits): Float32Array {
  return ownRows(freeRows(what, name, rows, units.transform), units.normalization);
}

/** The inverse of {@link rowsInFlow}, in f64. */
export function rowsOfData(own: Float32Array, { normalization, transform }: DataUnits): Float64Array {
  const free = dataRows(own, normalization);
  return transform ? boundRows(free, transform) : free;
}

type Circle = Extract<AxisTransform, { kind: "circular" }>;

const range = (one: NonNullable<AxisTransform>) =>
  one.kind === "circular"
    ? "as a finite angle"
    : one.kind === "interval"
      ? `between ${one.low} and ${one.high}, without these`
      : one.kind === "positive"
        ? "above 0"
        : one.kind === "latitude"
          ? "between -90 and 90 degrees, without the poles"
          : "as parts above 0 whose sum is below 1";

/** Checks what is given to a function that takes no flow. */
function checkRows(what: string, given: DataRows, transform: Transform): DataRows {
  const rows = readable(`${what}: rows`, given);
  const dim = Array.isArray(transform) ? axesOf(transform) : 1;
  checkTransform(transform, dim);
  if (!(rows instanceof Float32Array || rows instanceof Float64Array) || !(rows.length % dim === 0))
    throw invalid(`${what}: rows is ${show(rows)}, but it is a row-major [n, ${dim}] Float32Array or Float64Array`);
  return rows;
}

/**
 * Rows [n, dim] of data as points of R^dim, in f64: what a flow with this transform learns, in its own space but for the normalization.
 *
 * @throws PushforwardError `invalid-argument` for a row that is outside of the transform's space, or on its edge.
 * @example
 * import { fitNormalization } from "pushforward";
 * import { unconstrain } from "pushforward/transforms";
 * const transform = [{ kind: "interval", low: 0, high: 100 } as const, { kind: "positive" } as const];
 * const normalization = fitNormalization(unconstrain(Float32Array.of(12, 0.3, 95, 4), transform), 2);
 */
export function unconstrain(data: DataRows, transform: Transform): Float64Array {
  return freeRows("unconstrain", "data", checkRows("unconstrain", data, transform), transform) as Float64Array;
}

/** {@link unconstrain} in the name of a call; rows as they are where there is no transform. */
export function freeRows(what: string, name: string, rows: DataRows, transform: Transform | undefined): DataRows {
  if (!transform) return rows;
  const dim = axesOf(transform);
  const free = Float64Array.from(rows);
  for (const [axis, one] of blocks(transform)) {
    for (let k = axis; k < free.length; k += dim) {
      const parts = free.subarray(k, k + sizeOf(one));
      const [from, to] = distances(parts, one);
      // NaN stays NaN, which results count
      if (!(from > 0 && to > 0) && !parts.some(Number.isNaN))
        throw invalid(
          `${what}: ${name} holds ${parts.join(", ")} at row ${Math.floor(k / dim)}, column ${axis}, but transform has it ${range(one)}: remove or repair that row, or change the transform`,
        );
      if (one.kind === "circular") parts[0] = quarterTurns(parts[0] as number, one);
      else if (one.kind === "simplex") parts.set(parts.map((part) => Math.log(part / to)));
      else parts[0] = Math.log(from / to);
    }
  }
  return free;
}

/** An angle in the flow's own space: from −2 to 2, where `low` and `low` + `period` are. */
function quarterTurns(x: number, { period, low = 0 }: Circle): number {
  const turns = (x - low) / period;
  return turn * (turns - Math.floor(turns) - 0.5);
}

/** The inverse of {@link quarterTurns}, within [low, low + period). */
function angleOf(y: number, { period, low = 0 }: Circle): number {
  const turns = y / turn + 0.5;
  return low + period * (turns - Math.floor(turns));
}

/** What lies between a point and the ends of its space, both above 0 inside: of a simplex its first part and what is left of 1. */
function distances(parts: Float64Array, one: NonNullable<AxisTransform>): [from: number, to: number] {
  const x = parts[0] as number;
  if (one.kind === "interval") return [x - one.low, one.high - x];
  if (one.kind === "positive") return [x, 1];
  if (one.kind === "latitude") return [partOfSphere(90 + x), partOfSphere(90 - x)];
  if (one.kind === "circular") return [1, Number.isFinite(x) ? 1 : Number.NaN];
  return [x, parts.reduce((left, part) => (part > 0 ? left - part : Number.NaN), 1)];
}

/** Degrees from a pole → the part of the sphere that is nearer to it, sin²(θ/2). */
const partOfSphere = (degrees: number) => Math.sign(degrees) * Math.sin((degrees * Math.PI) / 360) ** 2;

/** Which rows of data [n, dim] are in the space, and they alone. */
export function rowsInside(all: Float64Array, transform: Transform): { inside: number[]; rows: Float64Array } {
  const dim = axesOf(transform);
  const pieces = blocks(transform);
  const isInside = (row: number) =>
    pieces.every(([axis, one]) => {
      const from = row * dim + axis;
      return distances(all.subarray(from, from + sizeOf(one)), one).every((d) => d > 0);
    });
  const inside = Array.from({ length: all.length / dim }, (_, row) => row).filter(isInside);
  const rows = new Float64Array(inside.length * dim);
  for (const [k, row] of inside.entries()) rows.set(all.subarray(row * dim, (row + 1) * dim), k * dim);
  return { inside, rows };
}

/**
 * The inverse of {@link unconstrain}: rows of R^dim as data.
 *
 * @throws PushforwardError `invalid-argument` for rows that are no array of the transform's axes.
 */
export function constrain(rows: DataRows, transform: Transform): Float64Array {
  return boundRows(Float64Array.from(checkRows("constrain", rows, transform)), transform);
}

/** Has rows of R^dim be data, in their place. */
export function boundRows(rows: Float64Array, transform: Transform): Float64Array {
  const dim = axesOf(transform);
  for (const [axis, one] of blocks(transform)) {
    for (let k = axis; k < rows.length; k += dim) {
      const y = rows[k] as number;
      if (one.kind === "positive") rows[k] = Math.exp(y);
      else if (one.kind === "circular") rows[k] = angleOf(y, one);
      else if (one.kind === "latitude") rows[k] = (180 / Math.PI) * Math.atan(Math.sinh(y / 2));
      else if (one.kind === "interval") {
        // from the end that is nearer, whose digits count
        const part = (one.high - one.low) / (1 + Math.exp(Math.abs(y)));
        rows[k] = y < 0 ? one.low + part : one.high - part;
      } else {
        const parts = rows.subarray(k, k + one.size);
        const most = Math.max(0, ...parts);
        const sum = parts.reduce((all, value) => all + Math.exp(value - most), Math.exp(-most));
        parts.set(parts.map((value) => Math.exp(value - most) / sum));
      }
    }
  }
  return rows;
}
