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
