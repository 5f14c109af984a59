import { invalid } from "../errors.ts";
import { seed } from "../flow/fields.ts";
import { checked, integer, type Schema } from "../options/schema.ts";
import { normals, seedKey, streams } from "../random/philox.ts";
import { Matching } from "../transport/matching.ts";
import { checkEqualSizes, checkTwoSamples, type SampleRows, squaredDistance } from "./rows.ts";

/** Rows that the exact distance takes at most: its costs are n² numbers of 8 bytes, 200 MB here. */
const mostRows = 5000;

/**
 * The 2-Wasserstein distance between two samples of equal size, exactly: √((1/n) min_σ Σ |a_i − b_σ(i)|²), by an assignment on a thread.
 * Its time grows as n³ at worst: a second for 2,000 rows of a plane, five for 5,000, which are the most. Two samples of one
 * distribution are some way from each other, too, so compare with the distance of two fresh ones.
 *
 * @param a row-major [n, dim]
 * @param b row-major [n, dim], in the same units, which are those of the distance
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, samples of different sizes, and more than 5,000 rows:
 * {@link slicedWasserstein} takes any number.
 * @example
 * import { toyData } from "pushforward";
 * import { wasserstein2 } from "pushforward/diagnostics";
 * console.log(await wasserstein2(toyData("moons", 200, 1), toyData("circles", 200, 2), 2));
 */
export async function wasserstein2(a: SampleRows, b: SampleRows, dim: number): Promise<number> {
  const { starts, ends, order } = await assigned("wasserstein2", a, b, dim);
  let sum = 0;
  for (const [i, j] of order.entries()) sum += squaredDistance(starts, i, ends, j, dim);
  return Math.sqrt(sum / order.length);
}

/**
 * The row of `b` for each row of `a`, each taken once, so that the sum of squared distances is least: the pairs that {@link wasserstein2} is the
 * distance of. With them rows of two sets, or of snapshots at several times, are put beside each other for a training with
 * `coupling: "paired"`, whose labels and context they then have.
 *
 * @param a row-major [n, dim]
 * @param b row-major [n, dim], in the same units
 * @returns numbers of rows of `b`, [n]
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, samples of different sizes, and more than 5,000 rows.
 * @example
 * import { toyData } from "pushforward";
 * import { optimalPairs } from "pushforward/diagnostics";
 * const [before, after] = [toyData("8gaussians", 200), toyData("moons", 200)];
 * const order = await optimalPairs(before, after, 2);
 * const partners = Float32Array.from(before, (_, k) => after[2 * (order[k >> 1] ?? 0) + (k & 1)] ?? 0); // row i belongs to row i of before
 * console.log(partners.length);
 */
export async function optimalPairs(a: SampleRows, b: SampleRows, dim: number): Promise<Uint32Array> {
  return (await assigned("optimalPairs", a, b, dim)).order;
}

/** Copies of both samples, and for each row of the first that of the second. */
async function assigned(what: string, a: SampleRows, b: SampleRows, dim: number) {
  const samples = checkTwoSamples(what, a, b, dim);
  checkEqualSizes(what, samples);
  const { n } = samples;
  if (n > mostRows)
    throw invalid(
      `${what}: ${n} rows need a table of ${n}² distances, and ${mostRows} rows are the most: pass fewer${what === "wasserstein2" ? ", or use slicedWasserstein" : ""}`,
    );
  const [starts, ends] = [samples.a.slice(), samples.b.slice()];
  const matching = new Matching(1);
  try {
    const { order } = await matching.solve({
      starts: singles(starts, dim),
      ends: singles(ends, dim),
      width: dim,
      dim,
      runs: Uint32Array.of(n),
    });
    return { starts, ends, order };
  } finally {
    matching.close();
  }
}

/** Rows as the assignment takes them. Of f64 the mean goes first, lest f32 lose the digits of an offset: it changes no assignment. */
function singles(rows: SampleRows, dim: number): Float32Array {
  if (rows instanceof Float32Array) return rows;
  const mean = new Float64Array(dim);
  for (let k = 0; k < rows.length; k++) mean[k % dim] = (mean[k % dim] as number) + (rows[k] as number);
  return Float32Array.from(rows, (value, k) => value - ((mean[k % dim] as number) * dim) / rows.length);
}

export interface SlicedWassersteinOptions {
  /** Random lines that the samples are projected onto. Default 128. */
  projections?: number;
  /** Seed of the lines. Default 0. */
  seed?: number;
}

const slicedFields = {
  projections: { check: integer(1, 1_000_000), fallback: 128 },
  seed: { check: seed, fallback: 0 },
} satisfies Schema<SlicedWassersteinOptions>;

/**
 * The sliced 2-Wasserstein distance (Bonneel et al. 2015, eq. 8): the root of the mean W₂² of the samples' projections onto random
 * lines, at most {@link wasserstein2}. Samples of any sizes, in O((n + m) log(n + m)) a line; the mean over lines has a relative
 * standard error of about 1/√projections.
 *
 * @param a row-major [n, dim]
 * @param b row-major [m, dim], in the same units, which are those of the distance
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, and options that are none.
 * @example
 * import { toyData } from "pushforward";
 * import { slicedWasserstein } from "pushforward/diagnostics";
 * console.log(slicedWasserstein(toyData("moons", 2000, 1), toyData("circles", 3000, 2), 2, { projections: 256 }));
 */
export function slicedWasserstein(
  a: SampleRows,
  b: SampleRows,
  dim: number,
  options: SlicedWassersteinOptions = {},
): number {
  const what = "slicedWasserstein";
  const samples = checkTwoSamples(what, a, b, dim);
  const { projections, seed } = checked(what, slicedFields, options);
  const directions = normals(seedKey(seed), streams.projection, 0, projections, dim);
  let sum = 0;
  for (let line = 0; line < projections; line++) {
    const direction = directions.subarray(line * dim, (line + 1) * dim);
    sum += squaredDistanceOnLine(projected(samples.a, direction), projected(samples.b, direction));
  }
  return Math.sqrt(sum / projections);
}

/** ⟨x_i, d⟩/|d| of all rows, in ascending order. */
function projected(x: SampleRows, direction: Float32Array): Float64Array {
  const dim = direction.length;
  const length = Math.hypot(...direction);
  const along = new Float64Array(x.length / dim);
  for (let i = 0; i < along.length; i++) {
    let sum = 0;
    for (let k = 0; k < dim; k++) sum += (x[i * dim + k] as number) * (direction[k] as number);
    along[i] = sum / length;
  }
  return along.sort();
}

/** W₂² of two sorted samples of numbers, ∫ (F⁻¹(u) − G⁻¹(u))² du over the pieces on which both quantiles are constant. */
function squaredDistanceOnLine(p: Float64Array, q: Float64Array): number {
  const [n, m] = [p.length, q.length];
  let sum = 0;
  for (let i = 0, j = 0, from = 0; i < n && j < m; ) {
    // ends of pieces in units of 1/(nm), which are whole
    const to = Math.min((i + 1) * m, (j + 1) * n);
    sum += (to - from) * ((p[i] as number) - (q[j] as number)) ** 2;
    from = to;
    if (to === (i + 1) * m) i++;
    if (to === (j + 1) * n) j++;
  }
  return sum / (n * m);
}
