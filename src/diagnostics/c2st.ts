import { invalid } from "../errors.ts";
import { callFields, seed } from "../flow/fields.ts";
import { checked, integer, type Schema, word } from "../options/schema.ts";
import { seedKey } from "../random/philox.ts";
import { Classifier, shuffled } from "./classifier.ts";
import { normalCdf } from "./distributions.ts";
import { checkEqualSizes, checkTwoSamples, type SampleRows, squaredDistance, type TwoSamples } from "./rows.ts";

export interface C2stOptions {
  /**
   * What learns to tell rows apart. Default `"network"`, sbi's measure. `"neighbours"`, the k nearest rows, k = ⌊√rows⌋ (Lopez-Paz & Oquab
   * 2017, §5), sees what is fine beside the whole, which a network of few rows misses, and takes n²·dim: it is for few dimensions.
   */
  classifier?: "network" | "neighbours";
  /** Parts of the rows, each of which is judged by a classifier that learned from the others. Default 5. */
  folds?: number;
  /** Units of each of the classifier's two hidden layers. Default 10·dim, at most 64. */
  width?: number;
  /** Passes over the rows that a classifier takes at most; it ends when ten have not lowered its loss by 1e-4. Default 200. */
  epochs?: number;
  /** Seed of folds, first weights and batches. Default 0. */
  seed?: number;
  /** Stops it between two passes. */
  signal?: AbortSignal;
}

const fields = {
  classifier: { check: word("network", "neighbours"), fallback: "network" },
  folds: { check: integer(2, 100), fallback: 5 },
  width: { check: integer(1, 1024) },
  epochs: { check: integer(1, 65_535), fallback: 200 },
  seed: { check: seed, fallback: 0 },
  signal: callFields.signal,
} satisfies Schema<C2stOptions>;

export interface C2st {
  /** The share of rows that were told apart rightly: 1/2 for samples of one distribution, 1 for such as never overlap. */
  accuracy: number;
  /** √(accuracy (1 − accuracy)/(n + m)). */
  standardError: number;
  /** Of an accuracy at least as large by chance: N(1/2, 1/4(n + m)) (Lopez-Paz & Oquab 2017, §3), as if the folds were independent. */
  pValue: number;
  /** Of each fold. */
  foldAccuracy: number[];
}

/**
 * A classifier two-sample test (Lopez-Paz & Oquab 2017): how well a network of its own learns to tell the rows of two samples apart, on
 * rows that it has not seen. The measure of sbi and sbibm; as there, columns are scaled by the mean and deviation of `a`, and the network
 * has two hidden layers of ReLU. It is trained on the host in f32, in time that grows with n·width·(dim + width): seconds for a thousand
 * rows of a plane, a minute for ten dimensions.
 *
 * @param a row-major [n, dim], the reference
 * @param b row-major [n, dim]
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, samples of different sizes (chance would not be 1/2), and
 * fewer than two rows a fold.
 * @example
 * import { toyData } from "pushforward";
 * import { c2st } from "pushforward/diagnostics";
 * const { accuracy, pValue } = await c2st(toyData("moons", 200, 1), toyData("circles", 200, 2), 2, { epochs: 10 });
 * console.log(accuracy, pValue);
 */
export async function c2st(a: SampleRows, b: SampleRows, dim: number, options: C2stOptions = {}): Promise<C2st> {
  const what = "c2st";
  const samples = checkTwoSamples(what, a, b, dim, 2);
  checkEqualSizes(what, samples);
  const { classifier, folds, seed, epochs, signal, width = Math.min(64, 10 * dim) } = checked(what, fields, options);
  const { n } = samples;
  if (n < 2 * folds)
    throw invalid(`${what}: ${n} rows in ${folds} folds are fewer than two for each: pass more rows, or fewer folds`);
  const { rows, labels } = scaled(samples, dim);
  const key = seedKey(seed);
  // each half in an order of its own, so that folds have as many of one as of the other
  const order = shuffled(n, key, 0);
  const rest = async () => {
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
  };
  const foldAccuracy: number[] = [];
  let right = 0;
  for (let fold = 0; fold < folds; fold++) {
    const [from, to] = [Math.floor((fold * n) / folds), Math.floor(((fold + 1) * n) / folds)];
    const part = (isHeld: boolean) => {
      const taken = order.filter((_, place) => (place >= from && place < to) === isHeld);
      const both = new Uint32Array(2 * taken.length);
      both.set(taken);
      both.set(
        taken.map((i) => i + n),
        taken.length,
      );
      const x = new Float32Array(both.length * dim);
      for (const [place, i] of both.entries()) x.set(rows.subarray(i * dim, (i + 1) * dim), place * dim);
      return { x, labels: Uint8Array.from(both, (i) => labels[i] as number) };
    };
    const [learned, held] = [part(false), part(true)];
    let scores: Float32Array;
    if (classifier === "neighbours") {
      scores = neighbourScores(learned.x, learned.labels, held.x, dim);
      await rest();
    } else {
      const network = new Classifier(dim, { width, epochs }, key, fold);
      await network.train(learned.x, learned.labels, rest);
      scores = network.logits(held.x);
    }
    let hits = 0;
    for (const [i, score] of scores.entries()) if (score > 0 === (held.labels[i] === 1)) hits++;
    foldAccuracy.push(hits / held.labels.length);
    right += hits;
  }
  const accuracy = right / (2 * n);
  return {
    accuracy,
    standardError: Math.sqrt((accuracy * (1 - accuracy)) / (2 * n)),
    pValue: normalCdf((0.5 - accuracy) * 2 * Math.sqrt(2 * n)),
    foldAccuracy,
  };
}

/** Both samples, one behind the other, with the mean and deviation of `a` as units, and their labels. */
function scaled({ a, b, n }: TwoSamples, dim: number): { rows: Float32Array; labels: Uint8Array } {
  const mean = new Float64Array(dim);
  const square = new Float64Array(dim);
  for (let k = 0; k < a.length; k++) mean[k % dim] = (mean[k % dim] as number) + (a[k] as number) / n;
  for (let k = 0; k < a.length; k++)
    square[k % dim] = (square[k % dim] as number) + ((a[k] as number) - (mean[k % dim] as number)) ** 2 / n;
  // a column without spread is left as it is
  const scale = square.map((value) => (value > 0 ? Math.sqrt(value) : 1));
  const rows = new Float32Array(2 * a.length);
  for (let k = 0; k < a.length; k++) {
    const [m, s] = [mean[k % dim] as number, scale[k % dim] as number];
    rows[k] = ((a[k] as number) - m) / s;
    rows[a.length + k] = ((b[k] as number) - m) / s;
  }
  return { rows, labels: Uint8Array.from({ length: 2 * n }, (_, i) => (i < n ? 0 : 1)) };
}

/** Of each row: labels 1 less labels 0 among its k nearest rows that were learned, k = ⌊√n⌋, made odd so that there are no ties. */
function neighbourScores(learned: Float32Array, labels: Uint8Array, held: Float32Array, dim: number): Float32Array {
  const n = labels.length;
  const k = Math.min(n, Math.floor(Math.sqrt(n)) | 1);
  const distances = new Float64Array(n);
  return Float32Array.from({ length: held.length / dim }, (_, i) => {
    for (let j = 0; j < n; j++) distances[j] = squaredDistance(held, i, learned, j, dim);
    const farthest = distances.slice().sort()[k - 1] as number;
    let score = 0;
    for (let j = 0; j < n; j++) if ((distances[j] as number) <= farthest) score += labels[j] === 1 ? 1 : -1;
    return score;
  });
}
