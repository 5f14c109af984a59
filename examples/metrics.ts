/**
 * How far two samples are from each other, row-major [n, dim] and [m, dim]. All of these are 0 in the mean, or small, only for samples of
 * one distribution; all are computed in f64 on the host.
 */
import { seededUniform } from "../cli/split.ts";
import { assign } from "../src/transport/assignment.ts";

const squaredDistance = (a: Float32Array, i: number, b: Float32Array, j: number, dim: number): number => {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += ((a[i * dim + k] ?? 0) - (b[j * dim + k] ?? 0)) ** 2;
  return sum;
};

/** W₂ between two samples of equal size, by an exact assignment: √((1/n) min_σ Σ |a_i − b_σ(i)|²). O(n³), so for n up to about 2000. */
export function exactWasserstein(a: Float32Array, b: Float32Array, dim: number): number {
  if (a.length !== b.length) throw new RangeError(`samples of ${a.length} and ${b.length} values: pass equal sizes`);
  const n = a.length / dim;
  const cost = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) cost[i * n + j] = squaredDistance(a, i, b, j, dim);
  let sum = 0;
  for (const [i, j] of assign(cost, n).entries()) sum += cost[i * n + j] ?? 0;
  return Math.sqrt(sum / n);
}

/** √ of the mean W₂² of projections onto random lines (Bonneel et al. 2015); at most W₂. Samples of equal size. */
export function slicedWasserstein(a: Float32Array, b: Float32Array, dim: number, lines = 128, seed = 0): number {
  if (a.length !== b.length) throw new RangeError(`samples of ${a.length} and ${b.length} values: pass equal sizes`);
  const n = a.length / dim;
  const uniform = seededUniform(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  let sum = 0;
  for (let line = 0; line < lines; line++) {
    const way = Float64Array.from({ length: dim }, normal);
    const length = Math.hypot(...way);
    const along = (x: Float32Array) =>
      Float64Array.from(
        { length: n },
        (_, i) => way.reduce((all, w, k) => all + w * (x[i * dim + k] ?? 0), 0) / length,
      ).sort();
    const [p, q] = [along(a), along(b)];
    for (let i = 0; i < n; i++) sum += ((p[i] ?? 0) - (q[i] ?? 0)) ** 2 / (n * lines);
  }
  return Math.sqrt(sum);
}

/** Mean of f(|a_i − b_j|²) over all pairs; over pairs of different rows when both are one sample. */
function meanOverPairs(a: Float32Array, b: Float32Array, dim: number, f: (squared: number) => number): number {
  const [n, m] = [a.length / dim, b.length / dim];
  const same = a === b;
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = same ? i + 1 : 0; j < m; j++) sum += f(squaredDistance(a, i, b, j, dim));
  return same ? (2 * sum) / (n * (n - 1)) : sum / (n * m);
}

/** 2 E|a − b| − E|a − a′| − E|b − b′| without bias (Székely & Rizzo 2013); 0 in the mean for one distribution, and may be below. */
export function energyDistance(a: Float32Array, b: Float32Array, dim: number): number {
  return (
    2 * meanOverPairs(a, b, dim, Math.sqrt) - meanOverPairs(a, a, dim, Math.sqrt) - meanOverPairs(b, b, dim, Math.sqrt)
  );
}

/** MMD² without bias (Gretton et al. 2012, eq. 3) with exp(−|x − y|²/2h²), h the median distance between rows of `b`. */
export function maximumMeanDiscrepancy(a: Float32Array, b: Float32Array, dim: number): number {
  const m = b.length / dim;
  const squares: number[] = [];
  for (let i = 0; i < Math.min(m, 500); i++) for (let j = 0; j < i; j++) squares.push(squaredDistance(b, i, b, j, dim));
  squares.sort((p, q) => p - q);
  const twice = 2 * (squares[squares.length >> 1] ?? 1);
  const kernel = (squared: number) => Math.exp(-squared / twice);
  return meanOverPairs(a, a, dim, kernel) + meanOverPairs(b, b, dim, kernel) - 2 * meanOverPairs(a, b, dim, kernel);
}
