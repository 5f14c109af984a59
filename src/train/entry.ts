import { readable } from "../arrays.ts";
import type { Flow } from "../flow/flow.ts";
import type { Mixture, MixtureFitOptions } from "./fit-mixture.ts";
import type { FlowMatchingBatch, FlowMatchingOptions } from "./flow-matching-options.ts";
import type {
  LikelihoodGradientOptions,
  LogProbGradient,
  LogProbGradientOptions,
  MaximumLikelihoodOptions,
} from "./likelihood-options.ts";
import { likelihoodTraining } from "./likelihood-solve.ts";
import type { GradientOptions } from "./options.ts";
import { flowMatchingPlan, likelihoodTrainingPlan } from "./plan.ts";
import type { TrainingStep } from "./task.ts";

/** The code that trains is loaded when it is first used: who only samples needs a third less in a browser. */
const training = () => import("./on-demand.ts");

/**
 * Trains a flow by conditional flow matching (Lipman et al. 2023, 2024 §4): least squares of u_t(x_t) against x_1 − x_0 with
 * x_t = t x_1 + (1 − t) x_0, x_0 from the flow's source, x_1 a random row of `data` [n, dim] (data units), t uniform per sample.
 * A Float64Array is centred and scaled by the flow's normalization in f64 before it becomes f32, so that large offsets keep their digits.
 * Everything stays on the device; only the logged losses come back. With `coupling: "optimal-transport"`, or its details in an
 * {@link OptimalTransport}, samples of noise and data are paired beside it: straighter paths, so fewer solver steps, and a loss of less variance.
 *
 * The flow holds the trained weights when the iterator ends or is closed early; with `ema`, their moving average; with
 * `validation.keepBest`, those of the smallest validation loss. While it runs, the flow's weights are those of the last step. The same
 * seed gives the same bits on one adapter, also when a training is cut off and resumed from a `checkpoint`; `checkpoint`, `resume`,
 * `validation`, `freeze` and a `learningRate` by name are checked when the first step is asked for.
 *
 * @throws PushforwardError `invalid-argument` for data or options at the call itself; `unsupported` for what this version lacks;
 * while running, `out-of-memory` with the number of rows that fit where the data exceed what the device binds to a kernel, and with the
 * parts that fit where the batch has no room; `invalid-argument` when the loss is no longer finite (the flow then gets the last good weights that the host has, at
 * most some seconds old) or the flow is disposed, and the signal's reason when it aborts.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * for await (const { step, loss } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 20, logEvery: 10 })) console.log(step, loss);
 * gpu.dispose();
 */
export function trainFlowMatching(
  flow: Flow,
  data: Float32Array | Float64Array,
  options: FlowMatchingOptions,
): AsyncIterableIterator<TrainingStep> {
  const what = "trainFlowMatching";
  const rows = readable(`${what}: data`, data);
  const plan = flowMatchingPlan(flow, rows, options);
  plan.options.signal?.throwIfAborted();
  return steps(({ runFlowMatching }) => runFlowMatching(flow, rows, plan));
}

/** The steps of a training whose code is loaded when the first one is asked for. */
async function* steps(
  run: (code: Awaited<ReturnType<typeof training>>) => AsyncGenerator<TrainingStep, undefined>,
): AsyncGenerator<TrainingStep, undefined> {
  return yield* run(await training());
}

/**
 * The flow-matching loss of a given batch, mean over n and dim of (u_t(x_t) − (x_1 − x_0))² at x_t = t x_1 + (1 − t) x_0
 * (Lipman et al. 2024, §4), and its gradient for every weight and bias.
 *
 * @throws PushforwardError `invalid-argument` for shapes that do not match, `unsupported` for a wgslVelocity.
 */
export async function flowMatchingGradients(
  flow: Flow,
  batch: FlowMatchingBatch,
  options: GradientOptions = {},
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const { givenBatchGradients } = await training();
  return givenBatchGradients(flow, batch, options);
}

/**
 * Trains a flow by maximum likelihood: minimises −mean log p_1(x) over rows of `data` [n, dim] (data units, f32 or f64), log p_1 by the
 * backward ODE on the solver's grid (FFJORD; Grathwohl et al. 2019; Chen et al. 2018, eq. 8). The gradient is that of the
 * discretised objective, by reverse accumulation through the solver's steps: memory holds one state per step, activations are
 * recomputed (in software up to 128 MB of them are kept). The loss of a {@link TrainingStep} is the mean negative log-likelihood in nats.
 *
 * With `objective: "discrete"` (dim ≤ 3) log p is that of the map which the solver's steps compute, Σ log|det ∂x_{k+1}/∂x_k| in place of
 * the integral (docs/mathematics.md, Likelihood): what is told is exact for those steps, also when they are few. `jitter` moves
 * their times at every optimiser step, `leastDeterminant` keeps steps from folding.
 *
 * With `activation: "relu"` the divergence is constant between kinks, so its gradient with respect to x is zero almost everywhere
 * and training by it is poor: prefer a smooth activation.
 *
 * @throws PushforwardError `invalid-argument` for data or options at the call itself; `unsupported` for adaptive solvers; while running,
 * `invalid-argument` when the loss is no longer finite or the flow is disposed, and the signal's reason when it aborts.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainMaximumLikelihood } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32], activation: "tanh" }) });
 * const training = trainMaximumLikelihood(flow, toyData("moons", 1000), { steps: 20, batchSize: 256, logEvery: 10 });
 * for await (const { step, loss } of training) console.log(step, loss);
 * gpu.dispose();
 *
 * @example
 * // Fine-tuning after flow matching: six steps are trained to be good ones.
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching, trainMaximumLikelihood } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const data = toyData("moons", 1000);
 * for await (const { step, loss } of trainFlowMatching(flow, data, { steps: 50 })) console.log(step, loss);
 * const solver = { method: "midpoint", steps: 6, warp: 1.5 } as const;
 * const fewPasses = { rowOrder: "shuffled", steps: 20, batchSize: 250, learningRate: 3e-4 } as const;
 * const options = { objective: "discrete", solver, jitter: 0.4, ...fewPasses } as const;
 * for await (const { step, loss } of trainMaximumLikelihood(flow, data, options)) console.log(step, loss);
 * const { mean } = await flow.meanLogProb(toyData("moons", 500, 1), { solver, objective: "discrete" });
 * console.log(mean);
 * gpu.dispose();
 */
export function trainMaximumLikelihood(
  flow: Flow,
  data: Float32Array | Float64Array,
  options: MaximumLikelihoodOptions,
): AsyncIterableIterator<TrainingStep> {
  const rows = readable(`${likelihoodTraining}: data`, data);
  const plan = likelihoodTrainingPlan(flow, rows, options);
  plan.options.signal?.throwIfAborted();
  return steps(({ runMaximumLikelihood }) => runMaximumLikelihood(flow, rows, plan));
}

/**
 * −mean log p_1 of the rows of `x` [n, dim] (data units) in nats, and its gradient for every weight and bias: the derivative of
 * the discretised objective, equal to what finite differences of the loss give. Probes are drawn from `seed` as `logProb` draws them.
 *
 * @throws PushforwardError `invalid-argument` for shapes that do not match, `unsupported` for a wgslVelocity and for adaptive solvers.
 */
export async function likelihoodGradients(
  flow: Flow,
  x: Float32Array | Float64Array,
  options: LikelihoodGradientOptions = {},
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const { givenLikelihoodGradients } = await training();
  return givenLikelihoodGradients(flow, x, options);
}

/**
 * log p_1 of the rows of `x` [n, dim] (data units, f32 or f64) in nats and its gradient by them, the score ∇ log p: for the most likely point of a
 * posterior, for Langevin's steps, for how far a row is from where the flow has its mass. It is the derivative of what the solver
 * computes, by reverse accumulation through its steps (Chen et al. 2018), and equal to what finite differences give; with a
 * `transform` or a normalization it is that of the density of the data. A row's result depends on nothing but the row, the seed and its number.
 *
 * @throws PushforwardError `invalid-argument` for shapes that do not match; `unsupported` for a wgslVelocity and for adaptive solvers; the
 * signal's reason when it aborts.
 * @example
 * // The most likely point near a given one, by gradient ascent.
 * import { Flow, logProbGradient, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 50 })) console.log(loss);
 * let x = Float32Array.of(0.5, -0.5);
 * for (let step = 0; step < 20; step++) {
 *   const { logProb, gradient } = await logProbGradient(flow, x);
 *   console.log(x, logProb[0]);
 *   x = x.map((value, i) => value + 0.05 * (gradient[i] ?? 0));
 * }
 * gpu.dispose();
 */
export async function logProbGradient(
  flow: Flow,
  x: Float32Array | Float64Array,
  options: LogProbGradientOptions = {},
): Promise<LogProbGradient> {
  const { givenLogProbGradient } = await training();
  return givenLogProbGradient(flow, x, options);
}

/**
 * A mixture of Gaussians along the axes, of greatest likelihood for the rows [n, dim], by expectation and maximisation (Dempster, Laird &
 * Rubin 1977) from rows that lie far apart (k-means++; Arthur & Vassilvitskii 2007), as the source of a flow. Such a source has the coarse
 * shape of the data and no tails beyond it, so the flow has short ways to go: few steps do, and few samples go astray. Rows are in the
 * flow's own space: data that are to be normalised come through {@link normalize}. It runs beside the page, in turns, on the host; of more than 65,536 rows it takes
 * evenly spaced ones.
 *
 * @throws PushforwardError `invalid-argument` for rows that are not finite, have no spread along an axis, or are fewer than two a component;
 * the signal's reason when it aborts.
 * @example
 * import { Flow, fitMixture, fitNormalization, mlp, normalize, openGpu, toyData } from "pushforward";
 * const data = toyData("checkerboard", 4000);
 * const normalization = fitNormalization(data, 2);
 * const source = await fitMixture(normalize(data, normalization), 2, { components: 32 });
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }), source, normalization });
 * console.log((await flow.sample(1000)).x.length);
 * gpu.dispose();
 */
export async function fitMixture(
  rows: Float32Array | Float64Array,
  dim: number,
  options: MixtureFitOptions = {},
): Promise<Mixture> {
  const { mixtureOfRows } = await import("./seldom.ts");
  return mixtureOfRows(rows, dim, options);
}
