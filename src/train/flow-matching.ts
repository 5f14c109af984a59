import { PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { particleMultiple } from "../flow/trajectory.ts";
import { Arena } from "../gpu/arena.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { mapCopy } from "../gpu/read.ts";
import { flopsPerDispatch, Pacer } from "../schedule/pacer.ts";
import { parameterCount } from "../velocity/mlp.ts";
import { type Backward, backwardOf } from "./backward.ts";
import { allocateAll, gradientBuffers, planPackings, residualBuffers } from "./buffers.ts";
import { type CouplingOptions, coupledBatch } from "./coupling.ts";
import { normParts, planAdam, planBatch, planGivenBatch, planSum } from "./dispatches.ts";
import { planGradient } from "./gradients.ts";
import type { FlowMatchingOptions, TrainingPlan } from "./options.ts";

/** What is told of a training run now and then. */
export interface TrainingStep {
  /** Optimiser steps done. */
  step: number;
  /** Mean of the loss over the steps since the last one told. */
  loss: number;
  learningRate: number;
  samplesPerSecond: number;
}

/** The steps of a training run whose options have been checked. */
export async function* runFlowMatching(
  flow: Flow,
  data: Float32Array,
  options: FlowMatchingOptions,
  plan: TrainingPlan,
): AsyncGenerator<TrainingStep, undefined> {
  const { gpu, parameters } = flow;
  const { velocity, settings, batchSize } = plan;
  const { dim } = velocity;
  const count = parameterCount(velocity);
  const capacity = Math.ceil(batchSize / particleMultiple) * particleMultiple;
  const zeros = new Float32Array(count);
  const clips = settings.gradientClip !== undefined;
  const mean = flow.normalization?.mean ?? new Array<number>(dim).fill(0);
  const scale = flow.normalization?.scale ?? new Array<number>(dim).fill(1);
  const constants = Float32Array.of(...mean, ...scale, ...flow.source.rows);
  const backward = backwardOf(flow, velocity);
  const arena = new Arena(gpu);
  const pacer = new Pacer(gpu, options.signal);
  const readLoss = async (staging: GPUBuffer) => {
    await pacer.rest();
    return pacer.race(mapCopy(gpu, staging, 4));
  };
  let staging: GPUBuffer | undefined;
  let trained = 0;
  try {
    const flat = await parameters.buffer();
    arena.lend("parameters", flat);
    await allocateAll(arena, [
      ...gradientBuffers(backward, velocity, capacity),
      ...residualBuffers(velocity, capacity),
      { name: "data", bytes: data.byteLength, data },
      { name: "constants", bytes: constants.byteLength, data: constants },
      ...(plan.coupled
        ? [
            { name: "starts", bytes: batchSize * dim * 4 },
            { name: "ends", bytes: batchSize * dim * 4 },
            { name: "times", bytes: batchSize * 4 },
          ]
        : []),
      { name: "adam.m", bytes: zeros.byteLength, data: zeros },
      { name: "adam.v", bytes: zeros.byteLength, data: zeros },
      { name: "loss", bytes: 4, data: Float32Array.of(0) },
      ...(options.labels ? [{ name: "labels", bytes: options.labels.byteLength, data: options.labels }] : []),
      ...(options.context ? [{ name: "context", bytes: options.context.byteLength, data: options.context }] : []),
      ...(clips
        ? [
            { name: "norm", bytes: 4 },
            { name: "norm.parts", bytes: normParts(count) * 4 },
          ]
        : []),
      ...(settings.ema === undefined ? [] : [{ name: "average", bytes: count * 4, data: await parameters.host() }]),
    ]);
    staging = await gpu.buffers.acquire(4, "staging", "loss");
    const packs = planPackings(backward);
    await pacer.submit(arena, "trainFlowMatching", packs);

    const pairs: CouplingOptions | undefined = plan.coupled
      ? {
          dim,
          key: plan.key,
          source: flow.source,
          data: data.map((value, i) => (value - (mean[i % dim] ?? 0)) / (scale[i % dim] ?? 1)),
        }
      : undefined;
    const batch = (step: number): Dispatch => {
      if (pairs) {
        const drawn = coupledBatch(pairs, step * batchSize, batchSize);
        for (const name of ["starts", "ends", "times"] as const) {
          gpu.device.queue.writeBuffer(arena.buffer(name), 0, drawn[name] as Float32Array<ArrayBuffer>);
        }
        return planGivenBatch({
          velocity,
          capacity,
          count: batchSize,
          names: { starts: "starts", ends: "ends", times: "times" },
        });
      }
      return planBatch({
        velocity,
        source: flow.source.kind,
        capacity,
        rows: plan.rows,
        first: step * batchSize,
        key: plan.key,
        labelDropout: plan.labelDropout,
        names: {
          data: "data",
          constants: "constants",
          labels: options.labels && "labels",
          context: options.context && "context",
        },
      });
    };

    // What is the same in every step is planned once; the batch and the optimiser get new params.
    let planned = planMiddle(flow, backward, plan, capacity, clips);
    let plannedAt = gpu.speed;
    let sinceLog = 0;
    let logged = performance.now();
    for (let step = 0; step < plan.steps; step++) {
      if (gpu.speed > 2 * plannedAt || gpu.speed < plannedAt / 2) {
        planned = planMiddle(flow, backward, plan, capacity, clips);
        plannedAt = gpu.speed;
      }
      // throws when the flow has been disposed meanwhile: its buffer may be another call's by now
      await parameters.buffer();
      const learningRate = plan.learningRate(step);
      const done = step + 1;
      const logs = done % plan.logEvery === 0 || done === plan.steps;
      sinceLog++;
      const copyLoss = staging;
      await pacer.submit(
        arena,
        "trainFlowMatching",
        [batch(step), ...planned, planAdam({ count, step: done, learningRate, settings }), ...packs],
        logs
          ? (encoder) => {
              encoder.copyBufferToBuffer(arena.buffer("loss"), 0, copyLoss, 0, 4);
              encoder.clearBuffer(arena.buffer("loss"), 0, 4);
            }
          : undefined,
      );
      trained = done;
      parameters.changed();
      if (!logs) continue;
      const [sum = Number.NaN] = new Float32Array(await readLoss(staging));
      pacer.check();
      const loss = sum / sinceLog;
      if (!Number.isFinite(loss)) {
        throw new PushforwardError(
          "invalid-argument",
          `trainFlowMatching: the loss is ${loss} within the ${sinceLog} steps before step ${done}, so the weights are lost: lower the learning rate (${learningRate}) or set gradientClip`,
        );
      }
      const now = performance.now();
      const samplesPerSecond = (sinceLog * batchSize) / Math.max(1e-9, (now - logged) / 1000);
      sinceLog = 0;
      yield { step: done, loss, learningRate, samplesPerSecond };
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
    arena.release();
    if (staging) gpu.buffers.release(staging);
  }
}

/** The part of a training step that never changes: forward, back, gradient, and the running sum of the loss. */
function planMiddle(flow: Flow, backward: Backward, plan: TrainingPlan, capacity: number, clips: boolean): Dispatch[] {
  const { velocity, batchSize } = plan;
  return [
    ...planGradient(backward, velocity, { capacity, count: batchSize, maxFlops: flopsPerDispatch(flow.gpu) }, clips),
    planSum({ count: capacity, scale: 1 / (batchSize * velocity.dim), add: true, from: "squares", to: "loss" }),
    ...(clips
      ? [planSum({ count: normParts(parameterCount(velocity)), scale: 1, add: false, from: "norm.parts", to: "norm" })]
      : []),
  ];
}
