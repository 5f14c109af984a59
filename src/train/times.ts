import { timeEntry } from "../../shaders/flow-matching.ts";
import { invalid } from "../errors.ts";
import { checkFinite, checkKeys, checkSingle, show, singles } from "../options.ts";
import { checkPath, coefficients, paths, pathTimes } from "../path/paths.ts";
import type { TimeDistribution } from "./flow-matching-options.ts";
import type { FlowMatchingPlan } from "./plan.ts";
import { logitQuantiles } from "./quantiles.ts";

/** The numbers of f32 between 0 and 1 nearest to the ends, where rates of paths may be infinite. */
const [earliest, latest] = [2 ** -24, 1 - 2 ** -24];

/** At which times a flow is trained, on which path and with which weights. */
export interface TrainingTimes {
  /** [pathTimes] entries, {@link timeEntry}: quantiles of the times, each as likely; none for uniform times on the straight path. */
  readonly table: Float32Array<ArrayBuffer> | undefined;
  /** For a checkpoint: what stands for the options of these names. */
  readonly made: { readonly path: unknown; readonly time: unknown; readonly weighting: unknown };
}

/** w(t), where it is not 1: that of the option, or of the score γ². */
export function weightingOf({
  weighting,
  predict,
  bridge,
}: Pick<FlowMatchingPlan["options"], "weighting" | "predict" | "bridge">): ((t: number) => number) | undefined {
  if (weighting !== undefined || predict !== "score" || bridge === undefined) return weighting;
  return (t) => bridge ** 2 * t * (1 - t);
}

/** Throws for a score of which there is no noise. */
export function checkPredict(what: string, { predict, bridge }: { predict?: string; bridge?: number }): void {
  if (predict === "score" && bridge === undefined)
    throw invalid(
      `${what}: predict is "score", but there is no bridge, of whose noise a network learns the score: pass for example bridge: 1`,
    );
}

/** Checks `path`, `time` and `weighting` and makes the table of them. */
export function trainingTimes(what: string, { path, options }: FlowMatchingPlan): TrainingTimes {
  const { time, weighting, bridge, predict } = options;
  checkPredict(what, options);
  const isUniform = time === undefined || time === "stratified";
  const made = { path: undefined, time, weighting: undefined };
  if (isUniform && path === undefined && weighting === undefined && bridge === undefined)
    return { table: undefined, made };
  const times = isUniform ? middles() : quantiles(`${what}: time`, time);
  const own = path === undefined ? undefined : coefficients(what, checkPath(what, path), times);
  const rows = own ?? coefficients(what, paths["conditional-optimal-transport"], times);
  const weigh = weightingOf(options);
  const weights = weigh && timeWeights(what, weigh, times);
  if (weights?.every((weight) => weight === 0))
    throw invalid(
      `${what}: weighting is 0 at all times that are drawn, so that nothing would be learned: pass a function that is above 0 somewhere`,
    );
  const { words, at } = timeEntry;
  const table = new Float32Array(pathTimes * words);
  for (let k = 0; k < pathTimes; k++) {
    const entry = table.subarray(words * k, words * (k + 1));
    entry.set(rows.subarray(4 * k, 4 * k + 4), at.path);
    entry[at.time] = times[k] as number;
    entry[at.weight] = weights ? (weights[k] as number) : 1;
    if (bridge !== undefined) addBridge(entry, bridge, predict);
  }
  // functions cannot be compared, but what they give
  return { table, made: { path: own, time: typeof time === "function" ? times : time, weighting: weights } };
}

/**
 * Noise γz between the ends, γ = bridge·√(t(1 − t)), the spread of a Brownian bridge. The velocity of x_t has γ̇z; the score of x_t given
 * its ends is −z/γ, which counts γ² unless it is said otherwise (Tong et al. 2024b, §3; docs/mathematics.md, Bridges).
 */
export function addBridge(entry: Float32Array, bridge: number, predict: "velocity" | "score" | undefined): void {
  const { path, time, spread, rate } = timeEntry.at;
  const t = entry[time] as number;
  const gamma = bridge * Math.sqrt(t * (1 - t));
  entry[spread] = gamma;
  entry[rate] = predict === "score" ? -1 / gamma : (bridge ** 2 * (1 - 2 * t)) / (2 * gamma);
  if (predict === "score") entry.fill(0, path + 2, path + 4);
}

const middles = () => Float64Array.from({ length: pathTimes }, (_, k) => (k + 0.5) / pathTimes);

/** w(t) at each time. */
export function timeWeights(
  what: string,
  weighting: (t: number) => number,
  times: ArrayLike<number>,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(times, (t) => checkSingle(`${what}: weighting(${t})`, weighting(t), 0, Infinity, singles));
}

/** The middles of equal parts of the probability. */
function quantiles(name: string, time: TimeDistribution): Float64Array {
  const raw =
    typeof time === "function"
      ? middles().map((u) => checkFinite(`${name}(${u})`, time(u), 0, 1))
      : logitQuantiles(...logitDensity(name, time), pathTimes);
  return raw.map((t) => Math.min(latest, Math.max(earliest, t)));
}

/** The logarithm of the density of y = log t/(1 − t), and its maximum. */
function logitDensity(name: string, time: unknown): [logDensity: (y: number) => number, mode: number] {
  if (typeof time !== "object" || time === null)
    throw invalid(
      `${name} is ${show(time)}, but it is "uniform", "stratified", { logitNormal: [mean, std] }, { beta: [a, b] } or the inverse of a cumulative distribution, a function of (0, 1)`,
    );
  checkKeys(name, time, ["logitNormal", "beta"]);
  const [[kind, pair] = ["logitNormal", undefined], ...more] = Object.entries(time);
  if (!Array.isArray(pair) || pair.length !== 2 || more.length > 0)
    throw invalid(`${name} is ${show(time)}, but it is { logitNormal: [mean, std] } or { beta: [a, b] }`);
  const [a, b] = pair;
  if (kind === "logitNormal") {
    const mean = checkFinite(`${name}.logitNormal[0]`, a, -20, 20);
    const std = checkFinite(`${name}.logitNormal[1]`, b, 1e-6, 20);
    return [(y) => -0.5 * ((y - mean) / std) ** 2, mean];
  }
  const [p, q] = [checkFinite(`${name}.beta[0]`, a, 0.01, 1e6), checkFinite(`${name}.beta[1]`, b, 0.01, 1e6)];
  // tᵃ⁻¹ (1 − t)ᵇ⁻¹ dt = tᵃ (1 − t)ᵇ dy
  return [(y) => -p * Math.log1p(Math.exp(-y)) - q * Math.log1p(Math.exp(y)), Math.log(p / q)];
}
