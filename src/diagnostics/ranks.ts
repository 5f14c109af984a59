import { invalid } from "../errors.ts";
import { seed } from "../flow/fields.ts";
import { type Checked, integer, type Schema } from "../options/schema.ts";
import { checkInteger } from "../options.ts";
import { seedKey, streams, uniforms } from "../random/philox.ts";
import { checkRows, type SampleRows } from "./rows.ts";
import { type Uniformity, type UniformityOptions, uniformityFields, uniformityOf } from "./uniformity.ts";

export interface RankOptions extends UniformityOptions {
  /** Seed of whatever is drawn. Default 0. */
  seed?: number;
}

export interface CurveOptions extends RankOptions {
  /** Levels of the curve, k/levels for k from 0. Default 50. */
  levels?: number;
}

export const rankFields = { ...uniformityFields, seed: { check: seed, fallback: 0 } } satisfies Schema<RankOptions>;

export const curveFields = {
  ...rankFields,
  levels: { check: integer(1, 10_000), fallback: 50 },
} satisfies Schema<CurveOptions>;

/** Ranks of parameters among draws of their posteriors, and how uniform they are. */
export interface RankStatistics extends Uniformity {
  /** Of each of the n parameters: how many of its L draws the rule counts, 0 … L. Uniform where posteriors are right. */
  ranks: Uint32Array;
  /**
   * (rank + u)/(L + 1), [n], u uniform on [0, 1): where ranks are uniform on 0 … L, these are on (0, 1), whatever L, which the statistics
   * are of.
   */
  values: Float64Array;
}

/** How often regions of posteriors hold the parameter, beside how often they say that they do. */
export interface CalibrationCurve extends RankStatistics {
  /** Probabilities α that regions say to have, k/levels from 0 to 1. */
  levels: Float64Array;
  /** The share of parameters within them: α itself where posteriors are right. */
  coverage: Float64Array;
  /** Mean of coverage − α: above 0 where posteriors are too wide, below where they are too narrow. */
  bias: number;
}

export function rankStatistics(
  ranks: Uint32Array,
  draws: number,
  bins: number | undefined,
  seed: number,
): RankStatistics {
  const ties = uniforms(seedKey(seed), streams.rankTie, 0, ranks.length, 1);
  // these are in (0, 1]
  const values = Float64Array.from(ranks, (rank, i) => (rank + 1 - (ties[i] as number)) / (draws + 1));
  return { ranks, values, ...uniformityOf(values, bins) };
}

/** The curve of ranks among L draws; its bias is that of levels from `from` on. */
export function curveOf(
  ranks: Uint32Array,
  draws: number,
  { levels: count, bins, seed }: Checked<typeof curveFields>,
  from = 0,
): CalibrationCurve {
  const statistics = rankStatistics(ranks, draws, bins, seed);
  const sorted = statistics.values.slice().sort();
  const levels = Float64Array.from({ length: count + 1 }, (_, k) => k / count);
  let below = 0;
  const coverage = levels.map((level) => {
    while (below < sorted.length && (sorted[below] as number) <= level) below++;
    return below / sorted.length;
  });
  const errors = coverage
    .map((share, k) => share - (levels[k] as number))
    .filter((_, k) => (levels[k] as number) >= from);
  return { ...statistics, levels, coverage, bias: errors.reduce((sum, error) => sum + error, 0) / errors.length };
}

/** Parameters and their posteriors: n rows, and L draws for each of them. */
export interface Posteriors {
  readonly parameters: SampleRows;
  readonly draws: SampleRows;
  readonly n: number;
  /** Draws per parameter. */
  readonly count: number;
}

export function checkPosteriors(what: string, parameters: unknown, draws: unknown, dim: unknown): Posteriors {
  const width = checkInteger(`${what}: dim`, dim, 1);
  const truth = checkRows(`${what}: parameters`, parameters, width, 2);
  const all = checkRows(`${what}: draws`, draws, width, truth.count);
  if (all.count % truth.count !== 0)
    throw invalid(
      `${what}: draws has ${all.count} rows for ${truth.count} parameters, but it is [n, L, ${width}]: L rows for each parameter, one parameter behind the other`,
    );
  return { parameters: truth.rows, draws: all.rows, n: truth.count, count: all.count / truth.count };
}
