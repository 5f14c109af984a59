import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { checkInteger, show } from "../options.ts";

/** A sample, row-major [n, dim]: what every diagnostic takes. */
export type SampleRows = Float32Array | Float64Array;

/** An array of finite numbers of which `width` make a row, at least `least` rows; the array and the number of rows. */
export function checkRows(name: string, value: unknown, width: number, least = 1): { rows: SampleRows; count: number } {
  const rows = readable(name, value);
  if (!(rows instanceof Float32Array || rows instanceof Float64Array))
    throw invalid(`${name} is ${show(rows)}, but it is a row-major [n, ${width}] Float32Array or Float64Array`);
  if (rows.length % width !== 0)
    throw invalid(
      `${name} has ${rows.length} values, but rows of ${width} need a multiple of ${width}: pass a row-major [n, ${width}] array`,
    );
  const count = rows.length / width;
  if (count < least) throw invalid(`${name} has ${count} rows, but at least ${least} are needed: pass more`);
  for (let k = 0; k < rows.length; k++) {
    if (!Number.isFinite(rows[k]))
      throw invalid(
        `${name} holds ${rows[k]} in row ${Math.floor(k / width)}, column ${k % width} (both from 0), but it needs finite numbers: leave that row out, and say how many there were`,
      );
  }
  return { rows, count };
}

/** Two samples of one space. */
export interface TwoSamples {
  readonly a: SampleRows;
  readonly b: SampleRows;
  /** Rows of `a` and of `b`. */
  readonly n: number;
  readonly m: number;
}

export function checkTwoSamples(what: string, a: unknown, b: unknown, dim: unknown, least = 1): TwoSamples {
  const width = checkInteger(`${what}: dim`, dim, 1);
  const [first, second] = [checkRows(`${what}: a`, a, width, least), checkRows(`${what}: b`, b, width, least)];
  return { a: first.rows, b: second.rows, n: first.count, m: second.count };
}

/** Throws where a method pairs rows, or counts on chance being one half, and the samples are not of one size. */
export function checkEqualSizes(what: string, { n, m }: TwoSamples): void {
  if (n !== m)
    throw invalid(
      `${what}: a has ${n} rows and b has ${m}, but they must have as many: pass the first ${Math.min(n, m)} of each`,
    );
}

/** |x_i − y_j|². */
export function squaredDistance(x: SampleRows, i: number, y: SampleRows, j: number, dim: number): number {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += ((x[i * dim + k] as number) - (y[j * dim + k] as number)) ** 2;
  return sum;
}
