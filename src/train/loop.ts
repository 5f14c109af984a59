import { PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { mapCopy } from "../gpu/read.ts";
import { budgetOf } from "../schedule/memory.ts";
import { flopsPerDispatch, Pacer } from "../schedule/pacer.ts";
import { parameterCount } from "../velocity/mlp.ts";
import { unflatten } from "../velocity/parameters.ts";
import type { Backward } from "./backward.ts";
import { allocateAll, planPackings } from "./buffers.ts";
import { normParts, planAdam, planReduceGradient, planSum } from "./dispatches.ts";
import type { Fingerprint } from "./fingerprint.ts";
import { trainingSpeed } from "./gradient-result.ts";
import type { TrainingOptions, TrainingPlan } from "./options.ts";
import { resuming } from "./resuming.ts";
import { progressTeller } from "./training-progress.ts";
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
 * Runs a training: batch, gradient, Adam, moving average, step after step on the device; only the logged losses come back.
 * The flow holds the trained weights when the iterator ends or is closed early; with `ema`, their moving average.
 */
export async function* trainingLoop(
  flow: Flow,
  options: TrainingOptions,
  plan: TrainingPlan,
  task: TrainingTask,
): AsyncGenerator<TrainingStep, undefined> {
  const { gpu, parameters } = flow;
  const { velocity, settings, batchSize } = plan;
  const { what, backward, capacity } = task;
  const count = parameterCount(velocity);
  const zeros = new Float32Array(count);
  const clips = settings.gradientClip !== undefined;
  const validateEvery = checkValidation(what, options, plan);
  const checkpoints = await resuming(what, flow, options, plan, () => task.fingerprint());
  const { resumed } = checkpoints;
  const arena = new Arena(gpu);
  const speed = trainingSpeed(flow, what, velocity);
  const pacer = new Pacer(gpu, speed, options.signal);
  /** What is the same in every step, planned once and again when the device turns out faster or slower. */
  const planMiddle = (): Dispatch[] => [
    ...task.gradient(flopsPerDispatch(speed)),
    planReduceGradient({ count, segments: backward.copies(capacity), norm: clips }),
    ...(clips ? [planSum({ count: normParts(count), scale: 1, add: false, from: "norm.parts", to: "norm" })] : []),
  ];
  let staging: GPUBuffer | undefined;
  let giveBack: (() => void) | undefined;
  let validator: Validator | undefined;
  let trained = 0;
  const meanLoss = (sum: number, steps: number, done: number): number => {
    const loss = sum / Math.max(1, steps);
    if (Number.isFinite(loss)) return loss;
    throw new PushforwardError(
      "invalid-argument",
      `${what}: the loss is ${loss} within the ${steps} steps before step ${done}, so the weights are lost: lower the learning rate (${plan.learningRate(done - 1)}) or set gradientClip`,
    );
  };
  try {
    arena.lend("parameters", await parameters.buffer());
    await allocateAll(arena, [
      ...task.buffers,
      { name: "adam.m", bytes: zeros.byteLength, data: resumed?.first ?? zeros },
      { name: "adam.v", bytes: zeros.byteLength, data: resumed?.second ?? zeros },
      { name: "loss", bytes: 4, data: Float32Array.of(resumed?.loss ?? 0) },
      ...(clips
        ? [
            { name: "norm", bytes: 4 },
            { name: "norm.parts", bytes: normParts(count) * 4 },
          ]
        : []),
      ...(settings.ema === undefined
        ? []
        : [{ name: "average", bytes: count * 4, data: resumed?.average ?? (await parameters.host()) }]),
    ]);
    staging = await gpu.buffers.acquire(4, "staging", "loss");
    if (resumed) {
      flow.setWeights(unflatten(parameters.tensors, resumed.weights));
      trained = resumed.step;
    }
    giveBack = budgetOf(gpu).hold(arena.bytes);
    const packs = planPackings(backward);
    await pacer.submit(arena, what, packs);

    let planned = planMiddle();
    let plannedAt = speed.flops;
    validator = options.validation && task.validator(options.validation);
    const tellProgress = progressTeller(options.onProgress, plan.steps, batchSize, trained);
    let sinceLog = resumed?.sinceLog ?? 0;
    let timed = 0;
    let logged = performance.now();
    for (let step = trained; step < plan.steps; step++) {
      if (speed.flops > 2 * plannedAt || speed.flops < plannedAt / 2) {
        planned = planMiddle();
        plannedAt = speed.flops;
      }
      // throws when the flow has been disposed meanwhile: its buffer may be another call's by now
      await parameters.buffer();
      const learningRate = plan.learningRate(step);
      const done = step + 1;
      const validates = validator && (done % validateEvery === 0 || done === plan.steps);
      const logs = validates || done % plan.logEvery === 0 || done === plan.steps;
      sinceLog++;
      timed++;
      const copyLoss = staging;
      await pacer.submit(
        arena,
        what,
        [
          ...(await task.batch(step, arena)),
          ...planned,
          planAdam({ count, step: done, learningRate, settings }),
          ...packs,
        ],
        logs
          ? (encoder) => {
              encoder.copyBufferToBuffer(arena.buffer("loss"), 0, copyLoss, 0, 4);
              encoder.clearBuffer(arena.buffer("loss"), 0, 4);
            }
          : undefined,
      );
      trained = done;
      parameters.changed();
      let told: TrainingStep | undefined;
      if (logs) {
        const [sum = Number.NaN] = new Float32Array(await pacer.last(() => mapCopy(gpu, copyLoss, 4)));
        pacer.check();
        const loss = meanLoss(sum, sinceLog, done);
        const samplesPerSecond = (timed * batchSize) / Math.max(1e-9, (performance.now() - logged) / 1000);
        told = { step: done, loss, learningRate, samplesPerSecond, ...task.figures?.() };
        sinceLog = 0;
        timed = 0;
      }
      tellProgress(done);
      if (told && validator && validates) {
        const weights = arena.buffer(settings.ema === undefined ? "parameters" : "average");
        told.validationLoss = await validator.loss(weights, pacer);
        pacer.check();
      }
      if (checkpoints.isDue(done)) {
        const steps = sinceLog;
        await checkpoints.keep(arena, pacer, done, steps, (sum) => meanLoss(sum, steps, done));
        pacer.check();
      }
      if (!told) continue;
      yield told;
      logged = performance.now();
    }
    await pacer.drain();
  } finally {
    // Also after an early break or an abort: the flow keeps what was learned.
    const kept = await parameters.buffer().catch(() => undefined);
    if (settings.ema !== undefined && trained > 0 && kept && !gpu.isLost) {
      const encoder = gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(arena.buffer("average"), 0, kept, 0, count * 4);
      gpu.device.queue.submit([encoder.finish()]);
      parameters.changed();
    }
    pacer.close();
    giveBack?.();
    validator?.release();
    arena.release();
    if (staging) gpu.buffers.release(staging);
  }
}

/** mean, scale of the flow's change to data units: [2][dim]. */
export function affineRows(flow: Flow): { mean: readonly number[]; scale: readonly number[] } {
  const { normalization, dim } = flow;
  return {
    mean: normalization?.mean ?? new Array<number>(dim).fill(0),
    scale: normalization?.scale ?? new Array<number>(dim).fill(1),
  };
}
