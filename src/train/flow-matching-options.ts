import type { StochasticOptions } from "../flow/options.ts";
import type { Path, PathName } from "../path/names.ts";
import type { GivenPairs, OptimalTransport } from "./coupling-options.ts";
import type { TrainingOptions } from "./options.ts";

/**
 * At which times a flow is trained: `"uniform"`, each sample by itself; `"stratified"`, uniform, but one in each of as many equal parts of
 * (0, 1) as a batch has samples, so that all are covered and gradients vary less; `logitNormal`, log t/(1 − t) ~ N(mean, std²) (Esser et al.
 * 2024, §3.1); `beta`, with density ∝ tᵃ⁻¹(1 − t)ᵇ⁻¹; or a function of one's own, the inverse of a cumulative distribution, from (0, 1) to
 * [0, 1]. All but the first two are drawn from 65,536 quantiles, the middles of equal parts of the probability.
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const options = { steps: 20, time: { logitNormal: [0, 1] as [number, number] }, weighting: (t: number) => 1 / (1.1 - t) };
 * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(loss);
 * gpu.dispose();
 */
export type TimeDistribution =
  | "uniform"
  | "stratified"
  | { logitNormal: [mean: number, std: number] }
  | { beta: [a: number, b: number] }
  | ((u: number) => number);

/**
 * u(x, t, h) learns the mean velocity over a step of length h, which is the last column of the network's context and is not given with the
 * rows: make the network with one more. At h = 0 it is the velocity, by flow matching; one of `every` so many samples of a batch learns
 * to go in one step as far as it goes in two of half the length (Frans et al. 2024), for lengths of any size up to 1 − t, so that all numbers of
 * steps are trained. `shortcutSteps` of "pushforward/few-steps" has the options to sample by. The targets of shortcuts are the network's own,
 * without an average, and move with it. The loss that is told is over both kinds of samples, that of `validation` is flow matching's, at h = 0.
 */
export interface Shortcut {
  /** At least 2, the default: half of the samples. */
  every?: number;
}

/**
 * Rows of a source that are made as they are needed: `count` rows [count, dim] in data units, of the samples with the numbers `first`,
 * `first + 1`, … since the training began. Where a row is made of its number and the `seed` of the training alone, the training has the
 * same bits however it is cut: in parts of a batch, by a lost device, by a checkpoint, which compares the first rows. Groups of pairs are asked for several at once, in no fixed order, and once more by a training that is resumed. `validation` says
 * that they are for validation data, whose samples have numbers of their own from 0 on, the same ones each time.
 */
export type SourceBatches = (
  count: number,
  at: { readonly first: number; readonly seed: number; readonly validation: boolean },
) => Float32Array | Float64Array | Promise<Float32Array | Float64Array>;

export interface FlowMatchingOptions extends TrainingOptions {
  /**
   * Default `"conditional-optimal-transport"`: x_t = t x_1 + (1 − t) x_0. Others by name, `polynomialPath` of "pushforward/paths", or
   * four functions of your own; they are trained at 65,536 times, the middles of equal parts of (0, 1).
   */
  path?: PathName | Path;
  /**
   * Which noise x_0 goes with which row x_1. Default `"independent"`. `"optimal-transport"` stands for `{ method: "exact" }`, `"paired"` for
   * rows of `source` that belong to those of the data, {@link GivenPairs}; details are checked when the first step is asked for.
   */
  coupling?: "independent" | "optimal-transport" | OptimalTransport | "paired" | GivenPairs;
  /**
   * Rows [m, dim] in data units that x_0 is drawn from, with replacement unless they are paired, in place of the flow's source: a flow from these data to those
   * that are trained on. A GPUBuffer of this device is read when the first step is asked for. A function makes the rows of each batch anew,
   * {@link SourceBatches}: what it throws ends the training. They are brought into the flow's own space as the data are, and paired with them by `coupling`. `push` carries
   * such a row from 0 to 1 ({@link normalize} before it where the flow has a normalization); `sample` draws from the flow's source, so give
   * the flow the same rows, `source: { samples }`, where that is wanted: a training without this option takes those.
   *
   * @example
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
   * const [source, data] = [toyData("8gaussians", 1000), toyData("moons", 1000)];
   * const options = { steps: 20, source, coupling: "optimal-transport" } as const;
   * for await (const { loss } of trainFlowMatching(flow, data, options)) console.log(loss);
   * const { x } = await flow.push(toyData("8gaussians", 100, 1)); // where these go among the moons
   * gpu.dispose();
   *
   * @example
   * // Each batch starts from rows of its own.
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
   * const source = (count: number, { first, seed }: { first: number; seed: number }) => toyData("8gaussians", count, seed + first);
   * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 20, source })) console.log(loss);
   * gpu.dispose();
   */
  source?: Float32Array | Float64Array | GPUBuffer | SourceBatches;
  /**
   * σ of Brownian bridges between the ends of each pair: x_t has noise of deviation σ√(t(1 − t)) beside the path, in the flow's own space.
   * With pairs of entropic transport, `coupling: { method: "sinkhorn" }`, whose regularization is then that of σ unless another is given,
   * the flow has the marginals of the Schrödinger bridge from the source to the data (Tong et al. 2024b, [SF]²M), and its paths with noise,
   * `sde: { diffusion: σ, score }`, are those of the bridge. Default: none.
   *
   * @example
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const create = () => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
   * const [flow, score] = [create(), create()];
   * const data = toyData("moons", 1000);
   * const options = { steps: 20, bridge: 1, source: toyData("8gaussians", 1000), coupling: { method: "exact", group: 64 } } as const;
   * for await (const { loss } of trainFlowMatching(flow, data, options)) console.log(loss);
   * for await (const { loss } of trainFlowMatching(score, data, { ...options, predict: "score" })) console.log(loss);
   * const { x } = await flow.push(toyData("8gaussians", 100, 1), { sde: { diffusion: 1, score } });
   * gpu.dispose();
   */
  bridge?: number;
  /**
   * What the network learns of the bridge: its velocity (default), or the score ∇log p_t, for the `score` of {@link StochasticOptions}. The
   * loss of the score is weighted by the variance of the bridge unless `weighting` says otherwise, and is then near 1 for a network that
   * knows nothing. Without a bridge it is an error at the first step.
   */
  predict?: "velocity" | "score";
  /**
   * Trains a flow for few steps as well (shortcut models; Frans et al. 2024): {@link Shortcut}. Default: none.
   *
   * @example
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * import { shortcutSteps } from "pushforward/few-steps";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32], context: 1 }) });
   * const options = { steps: 20, shortcut: {}, ema: 0.9 };
   * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(loss);
   * const { x } = await flow.sample(100, shortcutSteps(100, 1)); // in one step
   * gpu.dispose();
   */
  shortcut?: Shortcut;
  /** Probability with which a sample loses its label, so that the null class is trained for guidance. Default 0. */
  labelDropout?: number;
  /**
   * Probability with which a sample loses its context: it is zeros then, which is what guidance takes for none in a network without
   * classes. Independent of `labelDropout`. Default 0.
   */
  contextDropout?: number;
  /** Default `"uniform"`. Checked at the first step. */
  time?: TimeDistribution;
  /**
   * w(t) ≥ 0, in the loss mean of w(t) |u_t(x_t) − target|²/dim (Lipman et al. 2024, §4.7). Default 1. With it, times are those of a table, as with a
   * {@link FlowMatchingOptions.path | path}. What is looked for at each t stays the same: it is where a small network errs less.
   */
  weighting?: (t: number) => number;
}

export interface FlowMatchingBatch {
  /** Source samples [n, dim], in the flow's own space, like x1. */
  x0: Float32Array;
  x1: Float32Array;
  /** Times [n]. */
  t: Float32Array;
  labels?: Uint32Array;
  context?: Float32Array;
  /** Default: the straight one, as in training. */
  path?: PathName | Path;
  /** w(t), as in training. */
  weighting?: (t: number) => number;
  /** As in training, with the noise z of each sample; times are then within (0, 1). */
  bridge?: number;
  /** Normals [n, dim], of a bridge. */
  z?: Float32Array;
  /** What a bridge's target is, as in training. */
  predict?: "velocity" | "score";
}
