import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { leastNormal, show } from "../options.ts";
import type { Normalization } from "./normalization.ts";

/** Rows [n, dim] in data units on the host; f64 where the digits of large offsets matter. */
export type DataRows = Float32Array | Float64Array;

/**
 * What kernels change units by, [3][dim]: the mean rounded to f32, the scale, and what rounding took from the mean. Beside a large
 * mean, x − mean is exact in f32 only for a mean that is an f32, so the rest is taken off afterwards.
 */
export function affineFloats(normalization: Normalization | undefined, dim: number): Float32Array {
  const mean = normalization?.mean ?? new Array<number>(dim).fill(0);
  const scale = normalization?.scale ?? new Array<number>(dim).fill(1);
  return Float32Array.of(...mean, ...scale, ...mean.map((value) => value - Math.fround(value)));
}

/** Rows in data units as rows of the flow's own space: centred and scaled in f64, then rounded to f32. */
export function ownRows(rows: DataRows, normalization: Normalization | undefined): Float32Array {
  if (!normalization) return Float32Array.from(rows);
  const { mean, scale } = normalization;
  const dim = mean.length;
  const own = new Float32Array(rows.length);
  // mean and scale are of one length: checkNormalization
  for (let i = 0; i < rows.length; i++)
    own[i] = ((rows[i] as number) - (mean[i % dim] as number)) / (scale[i % dim] as number);
  return own;
}

/**
 * Rows [n, dim] in data units in the flow's own space, (x − mean)/scale, in f64 before they become f32: what `push` takes, and the samples
 * of a {@link Source}.
 *
 * @throws PushforwardError `invalid-argument` for rows of another dimension.
 * @example
 * import { fitNormalization, normalize, toyData } from "pushforward";
 * const data = toyData("moons", 1000);
 * const own = normalize(data, fitNormalization(data, 2)); // mean 0, variance 1
 */
export function normalize(rows: Float32Array | Float64Array, normalization: Normalization): Float32Array {
  const what = "normalize: rows";
  rows = readable(what, rows);
  const dim = normalization?.mean?.length;
  if (!(rows instanceof Float32Array || rows instanceof Float64Array) || !(rows.length % dim === 0))
    throw invalid(
      `${what} is ${show(rows)}, but with a normalization of ${dim} columns it is a Float32Array or Float64Array [n, ${dim}]`,
    );
  return ownRows(rows, normalization);
}

/** Rows of the flow's own space in data units, in f64. */
export function dataRows(own: Float32Array, normalization: Normalization | undefined): Float64Array {
  if (!normalization) return Float64Array.from(own);
  const { mean, scale } = normalization;
  const dim = mean.length;
  const rows = new Float64Array(own.length);
  // mean and scale are of one length: checkNormalization
  for (let i = 0; i < own.length; i++)
    rows[i] = (mean[i % dim] as number) + (scale[i % dim] as number) * (own[i] as number);
  return rows;
}

/** A value of one axis, in data units, in the flow's own space. */
export function ownValue(value: number, normalization: Normalization | undefined, axis: number): number {
  return normalization ? (value - item(normalization.mean, axis)) / item(normalization.scale, axis) : value;
}

/** The distance of an f32 to the next one away from 0. */
export function spacingOfF32(value: number): number {
  const size = Math.max(Math.abs(Math.fround(value)), leastNormal);
  return 2 ** (Math.floor(Math.log2(size)) - 23);
}
