import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { checked, integer, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";
import { chiSquareTail, kolmogorovTail } from "./distributions.ts";

export interface UniformityOptions {
  /** Equal parts of (0, 1) for the χ² statistic. Default 10, fewer where a part would have less than five numbers in the mean. */
  bins?: number;
}

/** How uniform n numbers of (0, 1) are. p values are those of independent numbers that are uniform. */
export interface Uniformity {
  /** Largest distance to the uniform distribution function (Kolmogorov–Smirnov), and its p value with Stephens' correction. */
  ks: { statistic: number; pValue: number };
  /** Pearson's statistic over equal bins, with bins − 1 degrees of freedom. */
  chiSquare: { statistic: number; degrees: number; pValue: number };
}

export const uniformityFields = { bins: { check: integer(2, 10_000) } } satisfies Schema<UniformityOptions>;

/** Throws unless all are numbers of [0, 1], and at least `least` of them. */
function checkProbabilities(name: string, value: unknown, least: number): Float32Array | Float64Array {
  const values = readable(name, value);
  if (!(values instanceof Float32Array || values instanceof Float64Array))
    throw invalid(`${name} is ${show(values)}, but it is a Float64Array of numbers from 0 to 1`);
  if (values.length < least) throw invalid(`${name} has ${values.length} values, but at least ${least} are needed`);
  const stray = values.findIndex((u) => !(u >= 0 && u <= 1));
  if (stray >= 0)
    throw invalid(
      `${name}[${stray}] is ${values[stray]}, but all are numbers from 0 to 1: leave out what is not finite`,
    );
  return values;
}

/**
 * Statistics of numbers in (0, 1), such as probability-integral transforms or normalized ranks, against the uniform distribution.
 *
 * @param values [n], n ≥ 2
 * @throws PushforwardError `invalid-argument` for numbers outside of [0, 1].
 * @example
 * import { uniformity } from "pushforward/diagnostics";
 * const values = Float64Array.from({ length: 200 }, (_, i) => ((i * 7) % 200) / 200);
 * const { ks, chiSquare } = uniformity(values);
 * console.log(ks.pValue, chiSquare.pValue);
 */
export function uniformity(values: Float32Array | Float64Array, options: UniformityOptions = {}): Uniformity {
  const { bins } = checked("uniformity", uniformityFields, options);
  return uniformityOf(checkProbabilities("uniformity: values", values, 2), bins);
}

/** Without checks. */
export function uniformityOf(values: Float32Array | Float64Array, given?: number): Uniformity {
  const n = values.length;
  const sorted = values.slice().sort();
  let statistic = 0;
  for (let i = 0; i < n; i++) {
    const u = sorted[i] as number;
    statistic = Math.max(statistic, u - i / n, (i + 1) / n - u);
  }
  const bins = given ?? Math.max(2, Math.min(10, Math.floor(n / 5)));
  const counts = new Float64Array(bins);
  for (const u of values) {
    const bin = Math.min(bins - 1, Math.floor(u * bins));
    counts[bin] = (counts[bin] as number) + 1;
  }
  const expected = n / bins;
  const pearson = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return {
    ks: { statistic, pValue: kolmogorovTail(statistic, n) },
    chiSquare: { statistic: pearson, degrees: bins - 1, pValue: chiSquareTail(pearson, bins - 1) },
  };
}

export interface Coverage {
  /** The probability that the region should have. */
  level: number;
  /** The share of values within it. */
  share: number;
  /** √(level (1 − level)/n): how far a right model's share is from the level. */
  standardError: number;
}

/**
 * Of numbers that should be uniform on (0, 1), such as the `radius` of {@link pit}: the share that is at most each level, which is that of
 * the data within the model's central region of that probability.
 *
 * @param values [n]
 * @param levels probabilities; default 0.5, 0.8, 0.9 and 0.95
 * @throws PushforwardError `invalid-argument` for numbers outside of [0, 1].
 * @example
 * import { coverage } from "pushforward/diagnostics";
 * for (const { level, share, standardError } of coverage(Float64Array.of(0.1, 0.3, 0.6, 0.97))) console.log(level, share, standardError);
 */
export function coverage(
  values: Float32Array | Float64Array,
  levels: readonly number[] = [0.5, 0.8, 0.9, 0.95],
): Coverage[] {
  const given = checkProbabilities("coverage: values", values, 1);
  if (!Array.isArray(levels) || levels.some((level) => !(typeof level === "number" && level > 0 && level < 1)))
    throw invalid(`coverage: levels is ${show(levels)}, but it is a list of numbers between 0 and 1`);
  const n = given.length;
  return levels.map((level) => {
    let inside = 0;
    for (const u of given) if (u <= level) inside++;
    return { level, share: inside / n, standardError: Math.sqrt((level * (1 - level)) / n) };
  });
}
