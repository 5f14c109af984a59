import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { type Check, checked, type Schema } from "../options/schema.ts";
import { checkFinite, show } from "../options.ts";
import { checkTwoSamples, type SampleRows, squaredDistance, type TwoSamples } from "./rows.ts";

/** Mean of f(|x_i − y_j|²) over all pairs of two samples. */
function meanAcross(x: SampleRows, y: SampleRows, dim: number, f: (square: number) => number): number {
  const [n, m] = [x.length / dim, y.length / dim];
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) sum += f(squaredDistance(x, i, y, j, dim));
  return sum / (n * m);
}

/** Mean of f(|x_i − x_j|²) over all pairs of different rows. */
function meanWithin(x: SampleRows, dim: number, f: (square: number) => number): number {
  const n = x.length / dim;
  let sum = 0;
  for (let i = 1; i < n; i++) for (let j = 0; j < i; j++) sum += f(squaredDistance(x, i, x, j, dim));
  return (2 * sum) / (n * (n - 1));
}

/**
 * The energy distance 2 E|a − b| − E|a − a′| − E|b − b′| (Székely & Rizzo 2013, eq. 2.5), without bias: pairs of one row with itself are
 * left out, so it is 0 in the mean for samples of one distribution and may be below. In units of the data; SciPy's `energy_distance` is
 * its root, with bias. O((n + m)²·dim).
 *
 * @param a row-major [n, dim], n ≥ 2
 * @param b row-major [m, dim], m ≥ 2
 * @throws PushforwardError `invalid-argument` for numbers that are not finite and fewer than two rows.
 * @example
 * import { toyData } from "pushforward";
 * import { energyDistance } from "pushforward/diagnostics";
 * console.log(energyDistance(toyData("moons", 500, 1), toyData("circles", 500, 2), 2));
 */
export function energyDistance(a: SampleRows, b: SampleRows, dim: number): number {
  const samples = checkTwoSamples("energyDistance", a, b, dim, 2);
  return (
    2 * meanAcross(samples.a, samples.b, dim, Math.sqrt) -
    meanWithin(samples.a, dim, Math.sqrt) -
    meanWithin(samples.b, dim, Math.sqrt)
  );
}

export interface MmdOptions {
  /**
   * Bandwidths h, in units of the data; the kernel is the mean over them. Default: the median distance between rows of both samples
   * together (of up to 1,000 of them, evenly spread).
   */
  bandwidths?: readonly number[];
}

const bandwidths: Check<readonly number[]> = (name, value) => {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid(`${name} is ${show(value)}, but it is a list of positive numbers: pass for example [0.5, 1, 2]`);
  for (const [i, h] of value.entries())
    if (!(checkFinite(`${name}[${i}]`, h) > 0)) throw invalid(`${name}[${i}] is ${h}, but a bandwidth is positive`);
  return value;
};

const mmdFields = { bandwidths: { check: bandwidths } } satisfies Schema<MmdOptions>;

/** The median of the distances between different rows of both samples, of up to 1,000 rows. */
function medianDistance({ a, b, n, m }: TwoSamples, dim: number): number {
  const taken = Math.min(n + m, 1000);
  const rows = new Float64Array(taken * dim);
  for (let k = 0; k < taken; k++) {
    const i = Math.floor((k * (n + m)) / taken);
    const [of, row] = i < n ? [a, i] : [b, i - n];
    for (let c = 0; c < dim; c++) rows[k * dim + c] = of[row * dim + c] as number;
  }
  const distances = new Float64Array((taken * (taken - 1)) / 2);
  let at = 0;
  for (let i = 1; i < taken; i++)
    for (let j = 0; j < i; j++) distances[at++] = Math.sqrt(squaredDistance(rows, i, rows, j, dim));
  return item(distances.sort(), distances.length >> 1);
}

/**
 * The squared maximum mean discrepancy without bias (Gretton et al. 2012, eq. 3), with Gaussian kernels exp(−|x − y|²/2h²): 0 in the
 * mean for samples of one distribution, and may be below; at most 2. O((n + m)²·dim).
 *
 * @param a row-major [n, dim], n ≥ 2
 * @param b row-major [m, dim], m ≥ 2
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, fewer than two rows, bandwidths that are not positive, and
 * where the median distance is 0, since most rows are equal.
 * @example
 * import { toyData } from "pushforward";
 * import { mmd } from "pushforward/diagnostics";
 * const [a, b] = [toyData("moons", 500, 1), toyData("circles", 500, 2)];
 * console.log(mmd(a, b, 2), mmd(a, b, 2, { bandwidths: [0.25, 0.5, 1, 2] }));
 */
export function mmd(a: SampleRows, b: SampleRows, dim: number, options: MmdOptions = {}): number {
  const what = "mmd";
  const samples = checkTwoSamples(what, a, b, dim, 2);
  const given = checked(what, mmdFields, options).bandwidths ?? [medianDistance(samples, dim)];
  if (given[0] === 0)
    throw invalid(`${what}: half of the rows or more are equal, so that their median distance is 0: pass bandwidths`);
  const rates = given.map((h) => -1 / (2 * h * h));
  const kernel = (square: number) => rates.reduce((sum, rate) => sum + Math.exp(rate * square), 0) / rates.length;
  return (
    meanWithin(samples.a, dim, kernel) +
    meanWithin(samples.b, dim, kernel) -
    2 * meanAcross(samples.a, samples.b, dim, kernel)
  );
}
