import { readable } from "../arrays.ts";
import { rowsInFlow } from "../data/transform-maps.ts";
import { affineFloats, type DataRows } from "../data/units.ts";
import type { Flow } from "../flow/flow.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { acrossLosses } from "../schedule/loss.ts";
import { trainAlone } from "./alone.ts";
import { frozenTensors } from "./freeze.ts";
import { rateOfStep } from "./learning-rate.ts";
import type { TrainingPlan } from "./plan.ts";
import { resuming } from "./resuming.ts";
import { partsOf } from "./stepping.ts";
import type { TrainingStep, TrainingTask } from "./task.ts";
import { type Kept, trainOn } from "./train-on.ts";
import { TrainingProgress } from "./training-progress.ts";
import { checkValidation } from "./validation.ts";

/**
 * Runs a training on the flow's device, and on the next one when that is lost: from the last state that the host has, over the same
 * steps to the same bits, of which nothing is told twice. The flow holds the trained weights when the iterator ends or is closed
 * early; with `ema`, their moving average; with `keepBest`, the best ones by the validation data. `makeTask` is asked for the training's own part, for batches in so many parts, once for each device.
 */
export function trainingLoop(
  flow: Flow,
  plan: TrainingPlan,
  makeTask: (parts: number) => TrainingTask,
): AsyncGenerator<TrainingStep, undefined> {
  const task = makeTask(partsOf(plan));
  return trainAlone(flow, task.what, () => stepsOf(flow, plan, task, makeTask));
}

async function* stepsOf(
  flow: Flow,
  plan: TrainingPlan,
  first: TrainingTask,
  makeTask: (parts: number) => TrainingTask,
): AsyncGenerator<TrainingStep, undefined> {
  const { what } = first;
  const { rows, starts = 0, velocity, options } = plan;
  // the rows are in one buffer on the device, and so are their context and how they are drawn
  const width = Math.max(velocity.dim, velocity.context, options.noise || options.rowWeights ? 3 : 0);
  const room = largestBinding(flow.gpu.device.limits);
  const all = rows + starts;
  if (all * width * 4 > room) throw (await import("./seldom.ts")).noRoomForRows(what, all, width, room);
  const judging = checkValidation(what, flow, plan);
  const rate = rateOfStep(what, plan);
  const frozen = frozenTensors(what, flow.parameters.tensors, plan);
  const resumable = await resuming(what, flow, plan, rate, async () => ({
    ...(await first.fingerprint()),
    ...(frozen.length > 0 && { freeze: frozen.map(({ name }) => name).join(", ") }),
  }));
  const kept: Kept = {
    state: resumable.resumed,
    isBehind: resumable.resumed !== undefined,
    trained: 0,
    told: 0,
    saved: 0,
    best: resumable.resumed?.best,
  };
  const progress = new TrainingProgress(plan.options.onProgress, plan.steps, plan.batchSize, kept.state?.step ?? 0);
  let next: TrainingTask | undefined = first;
  const steps = acrossLosses<TrainingStep>(flow.gpu, {
    signal: plan.options.signal,
    sign: progress.sign,
    on(session) {
      const task = next ?? makeTask(partsOf(plan));
      next = undefined;
      return trainOn(session, flow, plan, task, { kept, rate, frozen, resumable, judging, progress, makeTask });
    },
    reached: () => kept.trained,
    prepare() {
      // a flow that was disposed meanwhile says so
      flow.assertAlive();
      kept.isBehind = true;
      return "again";
    },
    doing: () => `${what} took step ${kept.trained + 1}`,
  });
  try {
    return yield* steps;
  } finally {
    progress.sign.end();
  }
}

/** Data for a device: rows of f32, and the numbers by which kernels bring them into the flow's own space, [3][dim]. */
export interface TrainingRows {
  readonly rows: Float32Array;
  readonly affine: Float32Array;
}

/** Data, called `name`, as it goes to the device: f32 as it is, f64 centred and scaled here already, where no digit is lost. */
export function trainingRows(what: string, name: string, flow: Flow, given: DataRows): TrainingRows {
  // since the call the caller may have transferred it
  const data = readable(name, given);
  const { normalization, transform, dim } = flow;
  if (data instanceof Float64Array || transform)
    return { rows: rowsInFlow(what, name, data, flow), affine: affineFloats(undefined, dim) };
  return { rows: data, affine: affineFloats(normalization, dim) };
}
