import type { Divergence, Objective, StochasticOptions } from "../flow/options.ts";
import type { Solver } from "../ode/grid.ts";
import type { Path, PathName } from "../path/names.ts";
import type { Progress, RunOptions } from "../schedule/job.ts";

/** Adam (Kingma & Ba 2015), or AdamW with decoupled weight decay. */
export interface AdamOptimizer {
  name: "adam" | "adamw";
  /** Default [0.9, 0.999]. */
  betas?: [number, number];
  /** Default 1e-8. */
  epsilon?: number;
  /** AdamW: default 0.01. */
  weightDecay?: number;
}

/**
 * Muon (Jordan et al. 2024) for the hidden matrices: those that read no input of the network as it is, and whose products go through
 * another matrix before they are the velocity. Their step is their momentum with all singular values brought to about 1, by five
 * Newton–Schulz iterations, times √max(1, rows/columns); it has no weight decay. All other parameters are AdamW's. It pays with large
 * batches: its products cost about 3·width/batchSize of those of a training step.
 *
 * @throws PushforwardError `unsupported` for a network without such matrices, as an mlp with one hidden layer is.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const options = { steps: 20, logEvery: 10, optimizer: { name: "muon", matrixRate: 10 } } as const;
 * for await (const { step, loss } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(step, loss);
 * gpu.dispose();
 */
export interface MuonOptimizer extends Omit<AdamOptimizer, "name"> {
  name: "muon";
  /** Of Nesterov's kind. Default 0.95. */
  momentum?: number;
  /**
   * The learning rate of the hidden matrices, in units of `learningRate`, so that every schedule goes for both. Default 20: a rate of
   * 0.02 where `learningRate` is 1e-3.
   */
  matrixRate?: number;
}

/** @internal */
export type AnyOptimizer = Omit<AdamOptimizer, "name"> &
  Omit<MuonOptimizer, "name"> & { name: AdamOptimizer["name"] | MuonOptimizer["name"] };

/** By its name alone, all settings are the defaults. */
export type Optimizer = "adam" | "adamw" | "muon" | AdamOptimizer | MuonOptimizer;

/**
 * A learning rate that rises to a peak and falls again, over all `steps` of a training: a straight line, half a cosine (Loshchilov &
 * Hutter 2017), or one cycle (Smith & Topin 2018; as PyTorch's `OneCycleLR`, half a cosine up from peak/25 and half a cosine down).
 *
 * @throws PushforwardError `invalid-argument` when the first step is asked for, for names and numbers that are none.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32] }) });
 * const learningRate = { peak: 1e-2, schedule: "cosine", warmup: 0.1 } as const;
 * const options = { steps: 20, logEvery: 5, learningRate };
 * for await (const { step, learningRate } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(step, learningRate);
 * gpu.dispose();
 */
export interface LearningRateSchedule {
  /** The largest rate. */
  peak: number;
  schedule: "constant" | "linear" | "cosine" | "one-cycle";
  /**
   * Steps in which the rate rises to the peak, in a straight line but in one cycle; below 1: that part of all steps. Default 0, one
   * cycle 0.3.
   */
  warmup?: number;
  /** The rate that is reached after the last step. Default 0, one cycle peak/250,000. */
  final?: number;
}

/** A number, a schedule by name, or a function of the step, which counts from 0. */
export type LearningRate = number | LearningRateSchedule | ((step: number) => number);

/**
 * Noise that is as wide as the data is sparse: `factor`·max(d, `floor`), d the distance of a row to its `neighbour`-th nearest other row in
 * the flow's own space. For data of at most 16 columns.
 */
export interface NeighbourNoise {
  /** Default 8. */
  neighbour?: number;
  factor: number;
  /** Least distance that counts, so that rows that are repeated get some noise, too. Default 0.002. */
  floor?: number;
}

/** Options of every kind of training. */
export interface TrainingOptions {
  /** Optimiser steps. */
  steps: number;
  /** Samples per step. Default 1024. */
  batchSize?: number;
  /**
   * Equal parts in which the samples of a step are computed, one after the other, so that memory is that of a part: their gradients are
   * averaged in their order. The samples and the loss are those of one part, to rounding; strata of the time
   * and a `jitter` of the solver's steps are of each part alone. Default 1.
   *
   * @example
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32] }) });
   * const options = { steps: 10, batchSize: 1024, accumulate: 4, logEvery: 5 }; // four times 256 samples in memory
   * for await (const { step, loss } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(step, loss);
   * gpu.dispose();
   */
  accumulate?: number;
  /** Default 1e-3. */
  learningRate?: LearningRate;
  /** Default `"adam"`. */
  optimizer?: Optimizer;
  /**
   * What is not trained: names of tensors ("net.0.weight") or of layers and blocks with all that begins with them ("net.0"), or a
   * function that says of each tensor whether it is frozen. Their bits stay as they are. Clipping counts what is trained alone.
   * Default: nothing.
   *
   * @example
   * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
   * const freeze = (name: string) => !name.startsWith("net.4"); // the last layer alone is trained
   * for await (const { step, loss } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 10, freeze })) console.log(step, loss);
   * gpu.dispose();
   */
  freeze?: readonly string[] | ((name: string) => boolean);
  /** Class of each row of the data, [n]. */
  labels?: Uint32Array;
  /** Context of each row of the data, [n, context]. */
  context?: Float32Array;
  /**
   * Gaussian noise that is added to a row whenever it is drawn, anew each time: its standard deviation in the flow's own space (units of
   * `normalization.scale`), for all rows, for each one [n], or by {@link NeighbourNoise}. The model is then of the data convolved with it
   * (a kernel density; Silverman 1986), which keeps few rows from being learned by heart. Default: none. Checked at the first step.
   *
   * @example
   * import { fitNormalization, Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
   * const gpu = await openGpu();
   * const data = toyData("moons", 200);
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }), normalization: fitNormalization(data, 2) });
   * const options = { steps: 20, noise: { neighbour: 8, factor: 0.5 } };
   * for await (const { loss } of trainFlowMatching(flow, data, options)) console.log(loss);
   * gpu.dispose();
   */
  noise?: number | Float32Array | NeighbourNoise;
  /**
   * Rows are drawn in proportion to these numbers [n], at least 0, so that the loss is the mean weighted by them. Default: all alike.
   * Checked at the first step; validation data has no weights.
   */
  rowWeights?: Float32Array;
  /**
   * Which rows follow each other: `"independent"` (default), each drawn by itself from all; `"shuffled"`, pass after pass over the data, each
   * pass with every row once, in an order of its own. Where a training makes few passes, a third of the rows that are drawn by themselves
   * do not occur in a pass; shuffled, all rows count alike (random reshuffling; Mishchenko et al. 2020). With `coupling` it is the rows that pairs are made of.
   */
  rowOrder?: "independent" | "shuffled";
  /** Decay of the exponential moving average of the weights, which the flow gets in the end. Default: none. */
  ema?: number;
  /** Largest norm of the whole gradient. Default: none. */
  gradientClip?: number;
  /** Seed of all that is drawn: batches, times, source samples, probes. Default 0. */
  seed?: number;
  /** A {@link TrainingStep} is yielded every so many steps, and at the last one. Default 100. */
  logEvery?: number;
  /** Stops the training within one dispatch; the iterator throws the signal's reason. */
  signal?: AbortSignal;
  /** Called as steps are done, at most every 100 ms: `done` and `total` are optimiser steps, `particlesPerSecond` samples per second. */
  onProgress?: (progress: Progress) => void;
  /** Data that is not trained on: a {@link TrainingStep} then has a `validationLoss`. */
  validation?: ValidationOptions;
  /** Hands over the state every so many steps, so that a training that was cut off can be resumed. */
  checkpoint?: CheckpointOptions;
  /**
   * A checkpoint to go on from: the bits are those of the training that was never cut off. All other options are those of
   * that training, `steps` counts from its start; they are compared before anything is changed.
   */
  resume?: Uint8Array;
}

/**
 * Where the state of a training goes now and then, as safetensors bytes: the trained weights, the optimiser's moments, the moving
 * average, the step, and what decides the run's bits. `Flow.load` reads them too, and gives the weights that the training would
 * have ended with: the moving average where there is one.
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const start = () => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const data = toyData("moons", 1000);
 * let state: Uint8Array | undefined;
 * const checkpoint = { every: 10, save: (bytes: Uint8Array) => { state = bytes; } };
 * for await (const { step } of trainFlowMatching(start(), data, { steps: 20, logEvery: 5, checkpoint })) if (step === 15) break;
 * const options = { steps: 20, logEvery: 5, ...(state && { resume: state }) };
 * for await (const { step } of trainFlowMatching(start(), data, options)) console.log(step); // 15, 20
 * gpu.dispose();
 */
export interface CheckpointOptions {
  /** Optimiser steps between two checkpoints; there is one after the last step, too. */
  every: number;
  /**
   * Takes the bytes of a checkpoint, for a file or a database. Training waits for the promise that it returns, and ends with
   * what it throws. Write a file beside the old one and rename it, so that a crash leaves one of the two.
   */
  save: (bytes: Uint8Array, step: number) => void | Promise<void>;
}

/**
 * Data on which a training is judged now and then. Gradients never see it; when the training ends, and with which weights, may depend
 * on it by `patience` and `keepBest`, which count the weights that the training would end with at the time: their moving average where
 * there is one.
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32] }) });
 * const validation = { data: toyData("moons", 200, 1), every: 5, patience: 3, keepBest: true };
 * for await (const { step, validationLoss, best } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 40, validation }))
 *   console.log(step, validationLoss, best); // the flow ends with the weights of step best.step
 * gpu.dispose();
 */
export interface ValidationOptions {
  /** [n, dim], in data units; f64 where the data that is trained on is. */
  data: Float32Array | Float64Array;
  /** Class of each row, [n]. */
  labels?: Uint32Array;
  /** Context of each row, [n, context]. */
  context?: Float32Array;
  /** Where the training's pairs are given, `coupling: "paired"`, and there alone: the row of the source of each row, [n, dim] in data units. */
  source?: Float32Array | Float64Array;
  /** Optimiser steps between two evaluations; there is one after the last step, too. Default: `logEvery`. */
  every?: number;
  /** Flow matching: draws (row, x_0, t) that the loss is the mean over, rounded up to whole batches. Default: n. */
  samples?: number;
  /** The training ends after so many evaluations in a row without a smaller loss than the best one before. Default: it does not. */
  patience?: number;
  /** The flow ends with the weights of the smallest loss, however the training ends. Default false. */
  keepBest?: boolean;
}

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
 * Pairs of noise and data by minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024, §3.2): within groups of samples
 * the rows are exchanged so that Σ |x_1 − x_0|² is least, which makes paths straighter the larger the groups are. Pairs are used
 * several times, each time with a time of its own: they lie in a pool, of which groups leave in the order in which they came. What is
 * drawn depends on the seed and the step alone, so trainings are resumed to the same bits; the pool is then computed anew.
 *
 * With labels, rows are exchanged within their class. With context, contexts count as well: a sample's x_0 comes with the context c′
 * of the row that was drawn with it, and Σ |x_1 − x_0|² + w Σ_k (c_k − c′_k)²/s_k² is least, with the context c of x_1 and the standard
 * deviations s of its columns (Kerrigan et al. 2024; Chemseddine et al. 2024).
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const coupling = { method: "exact", group: 512, reuse: 8 } as const;
 * for await (const { step, transportCost } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 20, logEvery: 10, coupling }))
 *   console.log(step, transportCost?.coupled, transportCost?.independent);
 * gpu.dispose();
 */
export type OptimalTransport = ExactTransport | SinkhornTransport;

/** Options of every {@link OptimalTransport}. */
interface Transport {
  /** How often a pair is used on average: 4 by default. With 1 each is used once, in order, and there is no pool. */
  reuse?: number;
  /** Pairs that are kept and drawn from, in whole groups. Default: those of 32 groups, by Sinkhorn's algorithm of 8. */
  pool?: number;
  /**
   * w: how much distances of contexts count beside those of states. It must be given where there is context. As it grows, each
   * context keeps the whole source; as it falls, paths become straighter, but contexts get sources of their own.
   */
  contextWeight?: number;
}

/**
 * Pairs that are exactly the best of their group, on threads of this machine, while the device trains; where no thread can be started
 * (a page's policy, a file that a bundler left behind), on this one, which they then hold up, to the same bits.
 */
export interface ExactTransport extends Transport {
  method: "exact";
  /** Samples that are paired with each other, from 2 to 1,024; default 256. In a plane, 256 take about 4 ms and 1,024 about 80 ms. */
  group?: number;
  /** Default: half of the processors, at most 4. 0: none. The bits do not depend on it. */
  threads?: number;
}

/**
 * Pairs drawn from the plan of entropic optimal transport (Cuturi 2013), on the device: for groups that are too large to be assigned
 * exactly. Each sample of the source is paired with a row that is drawn by its row of the plan. Half a step costs group² · (3 dim + 12)
 * operations, a group 2 · iterations of them: milliseconds on a GPU, seconds on an adapter in software, where exact pairs are faster.
 * {@link TrainingStep}'s `transportCost` tells how far the plan is from its marginals.
 */
export interface SinkhornTransport extends Transport {
  method: "sinkhorn";
  /** Samples that are paired with each other, a multiple of 32 up to 65,536. Default 2,048. */
  group?: number;
  /**
   * ε in means of the cost |x_1 − x_0|² over independent pairs, contexts included. Smaller is closer to the best pairs, and takes
   * more iterations. Default 0.01; with a `bridge` 2σ², which makes the pairs those of its Schrödinger bridge.
   */
  regularization?: number;
  /** Steps of Sinkhorn's algorithm, over the first half of which ε falls to its value from 1. Default 100. */
  iterations?: number;
}

/**
 * Pairs that are given: row i of `source` belongs to row i of the data, as in a coupling (Z_0, Z_1) of rectified flow (Liu et al. 2023),
 * whose rows the trained flow then joins by straighter paths; `"paired"` stands for `{ method: "paired" }`. Pairs are drawn together, so
 * `rowOrder`, `rowWeights`, `labels` and `context` go with them. `reflowPairs` and `distillationPairs` of "pushforward/few-steps" make some.
 *
 * With `from` and `to` a pair is a step: the row of the source is where a particle is at its time `from`, that of the data where it is at `to`,
 * and u(x, from) learns its mean velocity, their difference over to − from. There is no path between, so `path`, `time`, `weighting`, `bridge` and
 * `validation` are errors then.
 *
 * @example
 * import { Flow, mlp, openGpu, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 1, hidden: [16] }) });
 * const [before, after] = [Float32Array.of(-1, 0, 1, 2), Float32Array.of(-2, 0, 2, 4)]; // the same four, measured twice
 * const options = { steps: 20, source: before, coupling: "paired" } as const;
 * for await (const { loss } of trainFlowMatching(flow, after, options)) console.log(loss);
 * gpu.dispose();
 */
export interface GivenPairs {
  method: "paired";
  /** Times [n]. */
  from?: Float32Array;
  /** Times [n], not equal to those of `from`. */
  to?: Float32Array;
}

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

/**
 * Penalties that keep trajectories straight and slow (RNODE; Finlay et al. 2020): kineticEnergy·∫|u|² dt + jacobianFrobenius·∫‖∂u/∂x‖² dt
 * along each trajectory, by the solver's own weights. With probes ‖∂u/∂x‖² is estimated by |∂u/∂x Z|².
 */
export interface Regularization {
  kineticEnergy?: number;
  jacobianFrobenius?: number;
}

export interface MaximumLikelihoodOptions extends TrainingOptions {
  /** Default: none. The loss that is told stays the negative log-likelihood. */
  regularization?: Regularization;
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  /**
   * Moves the inner times of the solver's steps anew at every optimiser step, each by up to this part of a step (0 ≤ jitter < ½; in the s of
   * `solver.warp`), so that a training with few steps does not learn to use where they are. Default: none.
   */
  jitter?: number;
  /** Default: exact for dim ≤ 16, else one Rademacher probe, drawn anew for every sample of every batch. */
  divergence?: Divergence;
  /**
   * What the loss is of: the flow (default `"continuous"`), or the steps of the solver themselves, `"discrete"`: the loss is then the exact
   * negative log-likelihood of the samples that these very steps make, however few they are. For dim ≤ 3.
   */
  objective?: Objective;
  /**
   * Of the discrete objective: below this determinant ε of a step its logarithm goes on along its tangent, log ε + det/ε − 1. A step that
   * folds has negative determinants and is no change of variables, but by log|det| it looks like a good one, and a training finds it: this
   * makes it dear instead. Default 0.1; 0: log|det|, as `logProb` has it. It changes nothing where no step shrinks areas to less than ε.
   */
  leastDeterminant?: number;
}

export interface GradientOptions {
  /** Told within a second, while kernels are compiled, and at the end; see {@link Progress}. `done` and `total` are rows. */
  onProgress?: (progress: Progress) => void;
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

export interface LogProbGradientOptions extends RunOptions {
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  divergence?: Divergence;
  /** Of the flow, or of the very steps that the solver takes. */
  objective?: Objective;
  /** Seed of the probes. Default 0. */
  seed?: number;
  /** Class of each row, [n]. */
  labels?: Uint32Array;
  /** Context of each row, [n, context]. */
  context?: Float32Array;
}

/** log p of rows of data, and its gradient by them. */
export interface LogProbGradient {
  /** [n], nats. */
  logProb: Float32Array;
  /** ∇ log p, [n, dim], per unit of the data. */
  gradient: Float32Array;
  /** Rows of which a number of these is not finite. */
  nonFinite: number;
}

export interface LikelihoodGradientOptions extends GradientOptions {
  /** Penalties that are added to the loss; default: none. */
  regularization?: Regularization;
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  divergence?: Divergence;
  /** As in training. */
  objective?: Objective;
  /** As in training. */
  leastDeterminant?: number;
  /** Seed of the probes. Default 0. */
  seed?: number;
  labels?: Uint32Array;
  context?: Float32Array;
}
