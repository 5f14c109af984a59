import { invalid } from "../errors.ts";
import { checked, type Schema } from "../options/schema.ts";
import { seedKey, streams, uniforms } from "../random/philox.ts";
import {
  type CalibrationCurve,
  type CurveOptions,
  checkPosteriors,
  curveFields,
  curveOf,
  type Posteriors,
  type RankOptions,
  type RankStatistics,
  rankFields,
  rankStatistics,
} from "./ranks.ts";
import { checkRows, type SampleRows, squaredDistance } from "./rows.ts";

/**
 * Simulation-based calibration (Talts et al. 2018, algorithm 1): parameters are drawn from the prior, data are simulated from each, and the
 * posterior of these data is sampled. Ranks of a parameter among its draws are then uniform, for each of its dimensions: a ∪ of
 * their histogram says that posteriors are too narrow, a ∩ that they are too wide, a slope that they are shifted.
 *
 * @param parameters θ from the prior, row-major [n, dim]
 * @param draws from the posterior of each, [n, L, dim], such as {@link samplePosteriors} gives
 * @returns statistics of each dimension; `ranks` count the draws below the parameter, 0 … L
 * @throws PushforwardError `invalid-argument` for numbers that are not finite and shapes that do not fit.
 * @example
 * import { toyData } from "pushforward";
 * import { simulationBasedCalibration } from "pushforward/diagnostics";
 * const [parameters, draws] = [toyData("moons", 100, 1), toyData("moons", 100 * 20, 2)]; // the prior is its own posterior here
 * for (const { ranks, ks, chiSquare } of simulationBasedCalibration(parameters, draws, 2)) console.log(ranks, ks.pValue, chiSquare.pValue);
 */
export function simulationBasedCalibration(
  parameters: SampleRows,
  draws: SampleRows,
  dim: number,
  options: RankOptions = {},
): RankStatistics[] {
  const what = "simulationBasedCalibration";
  const posteriors = checkPosteriors(what, parameters, draws, dim);
  const { bins, seed } = checked(what, rankFields, options);
  return Array.from({ length: dim }, (_, k) => {
    const ranks = ranksOf(
      posteriors,
      (truth, i, draw, j) => (draw[j * dim + k] as number) < (truth[i * dim + k] as number),
    );
    return rankStatistics(ranks, posteriors.count, bins, seed);
  });
}

/** How many draws of each parameter are counted, those j of parameter i for which `counts` says so. */
function ranksOf(
  { parameters, draws, n, count }: Posteriors,
  counts: (truth: SampleRows, i: number, draw: SampleRows, j: number) => boolean,
): Uint32Array {
  const ranks = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    let rank = 0;
    for (let j = i * count; j < (i + 1) * count; j++) if (counts(parameters, i, draws, j)) rank++;
    ranks[i] = rank;
  }
  return ranks;
}

export interface TarpOptions extends CurveOptions {
  /**
   * Points that regions are centred at, [n, dim], chosen without looking at the parameters; those that depend on the data find more
   * (Lemos et al. 2023, §3). Default: uniform in the box that holds all parameters.
   */
  references?: SampleRows;
}

/**
 * Tests of accuracy with random points (TARP; Lemos et al. 2023, algorithm 2): the region of a posterior is a ball about a random point
 * that reaches to the true parameter, and the share of the draws in it is uniform where posteriors are right. It sees what ranks of
 * single dimensions miss, and needs no log p. Distances are Euclidean, each dimension in units of the parameters' range.
 *
 * @param parameters θ from the prior, row-major [n, dim]
 * @param draws from the posterior of each, [n, L, dim]
 * @returns the expected coverage of credible regions. Where posteriors are too narrow it is above the diagonal below 1/2 and below it
 * above, so that `bias` is that of levels from 1/2 on; `ranks` count the draws that are nearer to the point than the parameter
 * @throws PushforwardError `invalid-argument` for numbers that are not finite, shapes that do not fit, and a dimension in which all
 * parameters are equal.
 * @example
 * import { toyData } from "pushforward";
 * import { tarp } from "pushforward/diagnostics";
 * const { levels, coverage, bias, ks } = tarp(toyData("moons", 100, 1), toyData("moons", 100 * 20, 2), 2);
 * console.log(levels, coverage, bias, ks.pValue);
 */
export function tarp(
  parameters: SampleRows,
  draws: SampleRows,
  dim: number,
  options: TarpOptions = {},
): CalibrationCurve {
  const what = "tarp";
  const posteriors = checkPosteriors(what, parameters, draws, dim);
  const { references: given, ...settings } = checked(what, tarpFields, options);
  const { n } = posteriors;
  const { low, width } = box(what, posteriors.parameters, dim);
  /** Rows in units of the box. */
  const scaled = (x: SampleRows) =>
    Float64Array.from(x, (value, k) => (value - (low[k % dim] as number)) / (width[k % dim] as number));
  let references: SampleRows = uniforms(seedKey(settings.seed), streams.reference, 0, n, dim);
  if (given !== undefined) {
    const { rows, count } = checkRows(`${what}: references`, given, dim);
    if (count !== n)
      throw invalid(`${what}: references has ${count} rows, but there are ${n} parameters: pass one for each`);
    references = scaled(rows);
  }
  const [truth, drawn] = [scaled(posteriors.parameters), scaled(posteriors.draws)];
  const ranks = ranksOf({ ...posteriors, parameters: truth, draws: drawn }, (_, i, all, j) => {
    return squaredDistance(references, i, all, j, dim) < squaredDistance(references, i, truth, i, dim);
  });
  return curveOf(ranks, posteriors.count, settings, 0.5);
}

const tarpFields = {
  ...curveFields,
  references: { check: (_: string, value: unknown) => value as SampleRows },
} satisfies Schema<TarpOptions>;

/** The low corner of the box that holds all rows, and its width along each axis. */
function box(what: string, x: SampleRows, dim: number): { low: Float64Array; width: Float64Array } {
  const low = new Float64Array(dim).fill(Infinity);
  const high = new Float64Array(dim).fill(-Infinity);
  for (let k = 0; k < x.length; k++) {
    low[k % dim] = Math.min(low[k % dim] as number, x[k] as number);
    high[k % dim] = Math.max(high[k % dim] as number, x[k] as number);
  }
  const flat = low.findIndex((value, k) => value === high[k]);
  if (flat >= 0)
    throw invalid(`${what}: all parameters are ${low[flat]} in dimension ${flat} (from 0): leave that dimension out`);
  return { low, width: high.map((value, k) => value - (low[k] as number)) };
}

/**
 * Expected coverage of highest-density regions (Hermans et al. 2022, §2): the smallest region of a posterior that holds its true
 * parameter is that of the draws with a higher log p, and the share of these is uniform where posteriors are right.
 *
 * @param logProb log p of each true parameter under the posterior of its data, [n]
 * @param drawLogProb log p of its draws under the same posterior, [n, L], as `samplePosteriors(…, { logProb: true })` gives them
 * @returns the coverage of credible regions: below the diagonal, posteriors are too narrow; `ranks` count the draws with a higher log p
 * @throws PushforwardError `invalid-argument` for numbers that are not finite and shapes that do not fit.
 * @example
 * import { expectedCoverage } from "pushforward/diagnostics";
 * const [logProb, drawLogProb] = [Float32Array.of(-1, -2), Float32Array.of(-3, -0.5, -1.5, -2.5, -1, -3)]; // two parameters, three draws
 * console.log(expectedCoverage(logProb, drawLogProb, { levels: 4 }).ranks); // 1, 1
 */
export function expectedCoverage(
  logProb: SampleRows,
  drawLogProb: SampleRows,
  options: CurveOptions = {},
): CalibrationCurve {
  const what = "expectedCoverage";
  const truth = checkRows(`${what}: logProb`, logProb, 1, 2);
  const draws = checkRows(`${what}: drawLogProb`, drawLogProb, 1, truth.count);
  if (draws.count % truth.count !== 0)
    throw invalid(
      `${what}: drawLogProb has ${draws.count} values for ${truth.count} parameters, but it is [n, L]: L for each parameter, one parameter behind the other`,
    );
  const settings = checked(what, curveFields, options);
  const count = draws.count / truth.count;
  const ranks = ranksOf(
    { parameters: truth.rows, draws: draws.rows, n: truth.count, count },
    (of, i, all, j) => (all[j] as number) > (of[i] as number),
  );
  return curveOf(ranks, count, settings);
}
