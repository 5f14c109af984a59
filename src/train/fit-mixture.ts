import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { runFields } from "../flow/fields.ts";
import { checkAllFinite } from "../flow/rows.ts";
import type { Source } from "../flow/source.ts";
import { item } from "../must.ts";
import { checked, flag, integer, type Schema } from "../options/schema.ts";
import { checkInteger, show } from "../options.ts";
import { type Key, philox, seedKey, streams, uniform01 } from "../random/philox.ts";
import { millisecondsPerTurn, nextTurn } from "../schedule/pacer.ts";

/** A mixture of Gaussians along the axes, as a flow takes it for its source. */
export type Mixture = Extract<Source, { distribution: "mixture" }>;

export interface MixtureFitOptions {
  /** Gaussians to begin with; those that end with next to no rows are left out. Default 64. */
  components?: number;
  /** Decides at which rows they begin. Default 0. */
  seed?: number;
  /** Rounds of expectation and maximisation at most; it ends before when a round gains less than 1e-4 nats a row. Default 50. */
  rounds?: number;
  /**
   * Divides sums of squares by a Gaussian's rows less one (Bessel's correction), not by its rows: Gaussians of few rows are then not
   * narrower than what these were drawn from, and held-out rows likelier. Default false: the greatest likelihood of the rows themselves.
   */
  unbiased?: boolean;
  /** Ends the fit with the signal's reason. */
  signal?: AbortSignal;
}

const fields = {
  components: { check: integer(1, 4096), fallback: 64 },
  seed: { check: integer(0), fallback: 0 },
  rounds: { check: integer(1), fallback: 50 },
  unbiased: { check: flag(), fallback: false },
  signal: { check: runFields.signal.check },
} satisfies Schema<MixtureFitOptions>;

/** Of more rows than these, evenly chosen ones are looked at: a source need not know more. */
const mostRows = 65_536;
/** Deviations do not fall below this share of the rows' own along the axis. */
const leastShare = 0.01;
const leastGain = 1e-4;
/** A part of e⁻³⁰ of a row changes nothing that is seen. */
const leastPart = -30;

/** Components as the rounds have them: row-major [components, dim], and their shares. */
interface Components {
  means: Float64Array;
  scales: Float64Array;
  shares: Float64Array;
}

/** See `fitMixture` in entry.ts. */
export async function mixtureOfRows(
  given: Float32Array | Float64Array,
  dim: number,
  options: MixtureFitOptions,
): Promise<Mixture> {
  const what = "fitMixture";
  const { components, seed, rounds, unbiased, signal } = checked(what, fields, options);
  const rows = chosenRows(what, readable(`${what}: rows`, given), dim);
  const count = rows.length / dim;
  if (count < 2 * components)
    throw invalid(
      `${what}: components is ${components}, but there are ${count} rows, and each needs two at least: pass ${Math.floor(count / 2)} or fewer`,
    );
  const spread = deviations(what, rows, dim);
  const turns = new Turns(signal);
  const centres = await spreadCentres(rows, dim, components, seedKey(seed), turns);
  const found = centres.length / dim;
  let state: Components = {
    means: centres,
    scales: Float64Array.from({ length: found * dim }, (_, i) => item(spread, i % dim) / found ** (1 / dim)),
    shares: new Float64Array(found).fill(1 / found),
  };
  let last = Number.NEGATIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const next = await improved(rows, dim, state, spread, unbiased, turns);
    state = next.state;
    if (next.mean - last < leastGain) break;
    last = next.mean;
  }
  const { means, scales, shares } = state;
  const rowOf = (values: Float64Array, c: number) => [...values.subarray(c * dim, (c + 1) * dim)];
  const numbers = [...shares.keys()];
  return {
    distribution: "mixture",
    means: numbers.map((c) => rowOf(means, c)),
    scales: numbers.map((c) => rowOf(scales, c)),
    weights: [...shares],
  };
}

/** The rows as f64, at most {@link mostRows} of them. */
function chosenRows(what: string, given: Float32Array | Float64Array, dim: number): Float64Array {
  checkInteger(`${what}: dim`, dim, 1);
  if (!(given instanceof Float32Array || given instanceof Float64Array) || given.length === 0 || given.length % dim > 0)
    throw invalid(
      `${what}: rows is ${show(given)}, but it is a row-major [n, ${dim}] Float32Array or Float64Array of one row at least`,
    );
  checkAllFinite(what, "rows", given, dim);
  const count = given.length / dim;
  if (count <= mostRows) return Float64Array.from(given);
  const rows = new Float64Array(mostRows * dim);
  for (let i = 0; i < mostRows; i++) {
    const from = Math.floor((i * count) / mostRows) * dim;
    rows.set(given.subarray(from, from + dim), i * dim);
  }
  return rows;
}

function deviations(what: string, rows: Float64Array, dim: number): Float64Array {
  const n = rows.length / dim;
  return Float64Array.from({ length: dim }, (_, axis) => {
    let mean = 0;
    for (let i = axis; i < rows.length; i += dim) mean += item(rows, i) / n;
    let squares = 0;
    for (let i = axis; i < rows.length; i += dim) squares += (item(rows, i) - mean) ** 2 / n;
    if (squares > 0) return Math.sqrt(squares);
    throw invalid(
      `${what}: column ${axis} (from 0) of rows is ${rows[axis]} in all ${n} rows, and Gaussians need some spread along each axis: leave that column out`,
    );
  });
}

/** Leaves the event loop a turn now and then, and ends when the signal aborts. */
class Turns {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.throwIfAborted();
  }

  /** Whether it is time to `take` one. */
  get due(): boolean {
    return performance.now() - this.#since > millisecondsPerTurn;
  }

  async take(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#since = performance.now();
  }
}

/** Rows far from each other: each is drawn with a chance in proportion to its squared distance to those before (k-means++). */
async function spreadCentres(rows: Float64Array, dim: number, most: number, key: Key, turns: Turns) {
  const n = rows.length / dim;
  const nearest = new Float64Array(n).fill(1);
  const centres: number[] = [];
  const words = new Uint32Array(4);
  while (centres.length < most * dim) {
    if (turns.due) await turns.take();
    let total = 0;
    for (const square of nearest) total += square;
    if (total === 0) break; // all rows are centres
    philox(centres.length / dim, 0, 0, streams.mixture, key, words);
    let left = uniform01(item(words, 0)) * total;
    let chosen = 0;
    while (chosen < n - 1 && left > item(nearest, chosen)) left -= item(nearest, chosen++);
    const centre = rows.subarray(chosen * dim, (chosen + 1) * dim);
    const isFirst = centres.length === 0;
    centres.push(...centre);
    for (let i = 0; i < n; i++) {
      let square = 0;
      for (let axis = 0; axis < dim; axis++)
        square += ((rows[i * dim + axis] as number) - (centre[axis] as number)) ** 2;
      if (isFirst || square < (nearest[i] as number)) nearest[i] = square;
    }
  }
  return Float64Array.from(centres);
}

/** One round of expectation and maximisation (Dempster, Laird & Rubin 1977), and the mean log-density before it. */
async function improved(
  rows: Float64Array,
  dim: number,
  { means, scales, shares }: Components,
  spread: Float64Array,
  unbiased: boolean,
  turns: Turns,
): Promise<{ state: Components; mean: number }> {
  const n = rows.length / dim;
  const count = shares.length;
  const inverse = scales.map((scale) => 1 / scale);
  const constants = shares.map((share, c) => {
    let constant = Math.log(share) - 0.5 * dim * Math.log(2 * Math.PI);
    for (let axis = 0; axis < dim; axis++) constant -= Math.log(item(scales, c * dim + axis));
    return constant;
  });
  const weights = new Float64Array(count);
  const first = new Float64Array(count * dim);
  const second = new Float64Array(count * dim);
  const parts = new Float64Array(count);
  let mean = 0;
  for (let i = 0; i < n; i++) {
    if (i % 64 === 0 && turns.due) await turns.take();
    let greatest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < count; c++) {
      let part = constants[c] as number;
      for (let axis = 0, at = c * dim; axis < dim; axis++, at++)
        part -= 0.5 * (((rows[i * dim + axis] as number) - (means[at] as number)) * (inverse[at] as number)) ** 2;
      parts[c] = part;
      if (part > greatest) greatest = part;
    }
    let sum = 0;
    for (let c = 0; c < count; c++) {
      const beyond = (parts[c] as number) - greatest;
      const part = beyond > leastPart ? Math.exp(beyond) : 0;
      parts[c] = part;
      sum += part;
    }
    mean += (greatest + Math.log(sum)) / n;
    for (let c = 0; c < count; c++) {
      if (parts[c] === 0) continue;
      const part = (parts[c] as number) / sum;
      weights[c] = (weights[c] as number) + part;
      for (let axis = 0, at = c * dim; axis < dim; axis++, at++) {
        // around the old mean, so that the variance keeps its digits
        const offset = (rows[i * dim + axis] as number) - (means[at] as number);
        first[at] = (first[at] as number) + part * offset;
        second[at] = (second[at] as number) + part * offset * offset;
      }
    }
  }
  // A component of hardly a row has no deviation to speak of.
  const fewest = unbiased ? 1.5 : 1;
  const kept = [...weights.keys()].filter((c) => item(weights, c) > fewest);
  const total = kept.reduce((sum, c) => sum + item(weights, c), 0);
  const each = (value: (at: number, weight: number, axis: number) => number) =>
    Float64Array.from({ length: kept.length * dim }, (_, k) => {
      const c = item(kept, Math.floor(k / dim));
      return value(c * dim + (k % dim), item(weights, c), k % dim);
    });
  const state = {
    means: each((at, weight) => item(means, at) + item(first, at) / weight),
    scales: each((at, weight, axis) => {
      const correction = unbiased ? weight / (weight - 1) : 1;
      const variance = (item(second, at) / weight - (item(first, at) / weight) ** 2) * correction;
      return Math.sqrt(Math.max(variance, (leastShare * item(spread, axis)) ** 2));
    }),
    shares: Float64Array.from(kept, (c) => item(weights, c) / total),
  };
  return { state, mean };
}
