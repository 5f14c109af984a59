import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { show } from "../options.ts";
import type { Normalization } from "./normalization.ts";
import { spaceOf } from "./spaces.ts";
import { axesOf, blocks, checkTransform, sizeOf, type Transform } from "./transform.ts";
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
    const space = spaceOf(one);
    for (let k = axis; k < free.length; k += dim) {
      const parts = free.subarray(k, k + sizeOf(one));
      const ends = space.ends(parts, one);
      // NaN stays NaN, which results count
      if (!ends.every((distance) => distance > 0) && !parts.some(Number.isNaN))
        throw invalid(
          `${what}: ${name} holds ${parts.join(", ")} at row ${Math.floor(k / dim)}, column ${axis}, but transform has it ${space.range(one)}: remove or repair that row, or change the transform`,
        );
      space.free(parts, ends, one);
    }
  }
  return free;
}

/** Which rows of data [n, dim] are in the space, and they alone. */
export function rowsInside(all: Float64Array, transform: Transform): { inside: number[]; rows: Float64Array } {
  const dim = axesOf(transform);
  const pieces = blocks(transform);
  const isInside = (row: number) =>
    pieces.every(([axis, one]) => {
      const from = row * dim + axis;
      return spaceOf(one)
        .ends(all.subarray(from, from + sizeOf(one)), one)
        .every((distance) => distance > 0);
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
function boundRows(rows: Float64Array, transform: Transform): Float64Array {
  const dim = axesOf(transform);
  for (const [axis, one] of blocks(transform)) {
    const space = spaceOf(one);
    for (let k = axis; k < rows.length; k += dim) space.bound(rows.subarray(k, k + sizeOf(one)), one);
  }
  return rows;
}
