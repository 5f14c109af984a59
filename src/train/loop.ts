import { readable } from "../arrays.ts";
import { affineFloats, type DataRows, ownRows } from "../data/units.ts";
import type { Flow } from "../flow/flow.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { isLoss, lostTooOften, mostLosses } from "../schedule/loss.ts";
import { unlessAborted } from "../schedule/unless.ts";
import { trainAlone } from "./alone.ts";
import type { Backward } from "./backward.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { TrainingOptions, TrainingPlan } from "./options.ts";
import { resuming } from "./resuming.ts";
import { type Kept, trainOn } from "./train-on.ts";
import { TrainingProgress } from "./training-progress.ts";
import { checkValidation, type ValidationOptions, type Validator } from "./validation.ts";

/** What is told of a training run now and then. */
export interface TrainingStep {
  /** Optimiser steps done. */
  step: number;
  /** Mean of the loss over the steps since the last one told. */
  loss: number;
  learningRate: number;
  samplesPerSecond: number;
  /**
   * With optimal-transport pairs: the mean of |x_1 − x_0|² over the pairs since the last step told, and what it would be for
   * independent ones, in the flow's own space.
   */
  transportCost?: { coupled: number; independent: number };
  /**
   * With the option `validation`, where it was due: the loss of that data with the weights that the training would end with now,
   * their moving average where there is one. Flow matching: over draws that stay the same; maximum likelihood: the mean over all
   * rows, in nats, NaN when log p of one is not finite.
   */
  validationLoss?: number;
}

/** The part of a training that is its own: how a step's loss and gradient are found. */
export interface TrainingTask {
  readonly what: string;
  /** What is trained on, in data units. */
  readonly data: DataRows;
  readonly backward: Backward;
  readonly capacity: number;
  /** Buffers of the whole run, {@link gradientBuffers} included. */
  readonly buffers: readonly PlannedBuffer[];
  /** Makes the batch of a step ready: what must be uploaded or drawn for it. */
  batch(step: number, arena: Arena): Dispatch[] | Promise<Dispatch[]>;
  /** From the batch to "partials", and the batch's loss added to "loss". The same in every step. */
  gradient(maxFlops: number): Dispatch[];
  /** More figures of the steps since they were last asked for. */
  figures?(): Partial<TrainingStep>;
  /** What decides the bits of the run. */
  fingerprint(): Promise<Fingerprint>;
  validator(validation: ValidationOptions): Validator;
}

/**
 * Runs a training on the flow's device, and on the next one when that is lost: from the last state that the host has, over the same
 * steps to the same bits, of which nothing is told twice. The flow holds the trained weights when the iterator ends or is closed
 * early; with `ema`, their moving average. `makeTask` is asked for the training's own part once for each device.
 */
export function trainingLoop(
  flow: Flow,
  options: TrainingOptions,
  plan: TrainingPlan,
  makeTask: () => TrainingTask,
): AsyncGenerator<TrainingStep, undefined> {
  const task = makeTask();
  return trainAlone(flow, task.what, () => stepsOf(flow, options, plan, task, makeTask));
}

async function* stepsOf(
  flow: Flow,
  options: TrainingOptions,
  plan: TrainingPlan,
  first: TrainingTask,
  makeTask: () => TrainingTask,
): AsyncGenerator<TrainingStep, undefined> {
  const { signal } = options;
  let task = first;
  const { what } = task;
  const validateEvery = checkValidation(what, options, plan);
  const resumable = await resuming(what, flow, options, plan, () => task.fingerprint());
  const kept: Kept = {
    state: resumable.resumed,
    isBehind: resumable.resumed !== undefined,
    trained: 0,
    told: 0,
    saved: 0,
  };
  const progress = new TrainingProgress(options.onProgress, plan.steps, plan.batchSize, kept.state?.step ?? 0);
  try {
    for (let losses = 0, furthest = 0; ; task = makeTask()) {
      const session: Session = await unlessAborted(signal, flow.gpu.session());
      const steps = trainOn(session, flow, options, plan, task, { kept, resumable, validateEvery, progress });
      try {
        for (;;) {
          let told: TrainingStep;
          try {
            const { done, value } = await steps.next();
            if (done) return;
            told = value;
          } catch (error) {
            // an abort says so, also when the device is lost at the same time
            signal?.throwIfAborted();
            if (!(await isLoss(session, error))) throw error;
            // a flow that was disposed meanwhile says so
            flow.assertAlive();
            losses = kept.trained > furthest ? 1 : losses + 1;
            furthest = Math.max(furthest, kept.trained);
            if (losses > mostLosses) throw lostTooOften(what, `took step ${kept.trained + 1}`, losses);
            kept.isBehind = true;
            break;
          }
          progress.sign.pause();
          yield told;
          progress.sign.resume();
        }
      } finally {
        await steps.return(undefined);
      }
    }
  } finally {
    progress.sign.end();
  }
}

/** Data for a device: rows of f32, and the numbers by which kernels bring them into the flow's own space, [3][dim]. */
export interface TrainingRows {
  readonly rows: Float32Array;
  readonly affine: Float32Array;
}

/** Data as it goes to the device: f32 as it is, f64 centred and scaled here already, where no digit is lost. */
export function trainingRows(flow: Flow, given: DataRows): TrainingRows {
  // since the call the caller may have transferred it
  const data = readable("data", given);
  const { normalization, dim } = flow;
  if (data instanceof Float64Array) return { rows: ownRows(data, normalization), affine: affineFloats(undefined, dim) };
  return { rows: data, affine: affineFloats(normalization, dim) };
}
