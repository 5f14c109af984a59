import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { checkInteger, show } from "../options.ts";

/** The affine map x_data = mean + scale·x between data units and the flow's own space, one entry per dimension. */
export interface Normalization {
  mean: number[];
  scale: number[];
}

/**
 * Mean and standard deviation (divided by n) of each column of `data` `[n, dim]`, for `Flow.create({ normalization })`:
 * x = (x_data − mean)/scale has mean 0 and variance 1, and log p gains −Σ log scale.
 *
 * Sums are f64 with the corrected two-pass formula, so an offset of millions beside a spread of one does no harm. Pass such data as
 * a Float64Array, here and to the calls that take rows in data units, which subtract the mean in f64: near 5,400,000 the numbers of
 * f32 are 0.5 apart. `sample(count, { output: "float64" })` gives samples back with their digits.
 *
 * @throws PushforwardError `invalid-argument` for a length that is no multiple of `dim`, no rows, a value that is not finite
 * (with its row and column), and a column of which all values are equal or that f32 cannot hold.
 * @example
 * import { fitNormalization, toyData } from "pushforward";
 * const { mean, scale } = fitNormalization(toyData("moons", 1000), 2);
 */
export function fitNormalization(data: Float32Array | Float64Array, dim: number): Normalization {
  data = readable("fitNormalization: data", data);
  checkInteger("fitNormalization: dim", dim, 1);
  if (!(data instanceof Float32Array || data instanceof Float64Array)) {
    throw invalid(
      `fitNormalization: data is ${show(data)}, but it is a row-major [n, ${dim}] Float32Array or Float64Array`,
    );
  }
  if (data.length === 0 || data.length % dim !== 0) {
    throw invalid(
      `fitNormalization: data has ${data.length} values, but dim ${dim} needs a positive multiple of ${dim}: pass a row-major [n, ${dim}] Float32Array`,
    );
  }
  const columns = Array.from({ length: dim }, (_, column) => fitColumn(data, dim, column));
  return { mean: columns.map((column) => column.mean), scale: columns.map((column) => column.scale) };
}

function fitColumn(data: Float32Array | Float64Array, dim: number, column: number): { mean: number; scale: number } {
  const n = data.length / dim;
  let [sum, least, greatest] = [0, Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    const value = data[i * dim + column] as number; // n rows of dim each
    if (!Number.isFinite(value)) {
      throw invalid(
        `fitNormalization: data holds ${value} in row ${i}, column ${column} (both from 0), but it needs finite numbers: remove or mend that row`,
      );
    }
    sum += value;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  if (least === greatest) {
    throw invalid(
      `fitNormalization: column ${column} (from 0) of data is ${least} in ${n === 1 ? "its only row" : `all ${n} rows`}, and a column without spread cannot be scaled to variance 1: leave it out, or pass your own normalization`,
    );
  }
  const farthest = -least > greatest ? least : greatest;
  if (!Number.isFinite(Math.fround(farthest))) {
    throw invalid(
      `fitNormalization: column ${column} (from 0) of data reaches ${farthest}, but devices calculate in f32, which ends at about ±3.4e38: use other units`,
    );
  }
  const guess = sum / n;
  let [difference, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const d = (data[i * dim + column] as number) - guess;
    difference += d;
    squares += d * d;
  }
  const correction = difference / n;
  const scale = Math.sqrt(Math.max(squares / n - correction ** 2, 0));
  if (Math.fround(scale) === 0) {
    throw invalid(
      `fitNormalization: column ${column} (from 0) of data spreads by ${scale.toPrecision(3)}, but devices calculate in f32, where that is 0: use other units`,
    );
  }
  return { mean: guess + correction, scale };
}
