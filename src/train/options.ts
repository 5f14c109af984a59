import type { Progress } from "../schedule/job.ts";
import type { LearningRate, Optimizer } from "./optimizer-options.ts";

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

export interface GradientOptions {
  /** Told within a second, while kernels are compiled, and at the end; see {@link Progress}. `done` and `total` are rows. */
  onProgress?: (progress: Progress) => void;
}
