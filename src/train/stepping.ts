import { invalid } from "../errors.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { sizedDispatches } from "../kernels/sized.ts";
import { hasSlowLengths } from "../kernels/tiling.ts";
import { dispatchesPerSubmit, flopsPerDispatch, type Pacer } from "../schedule/pacer.ts";
import { planPackings } from "./buffers.ts";
import type { OptimizerPlan } from "./optimizer.ts";
import type { TrainingPlan } from "./plan.ts";
import type { TrainingTask } from "./task.ts";

/** Parts of a batch whose gradients are found one after the other. */
export const partsOf = ({ options }: TrainingPlan): number => options.accumulate ?? 1;

/**
 * The plan of one part of a batch, for a {@link TrainingTask}: part k of step s is its batch number s·parts + k, so that the samples of
 * a step are the same, however many parts they come in.
 *
 * @throws PushforwardError `invalid-argument` when the parts are not of one size.
 */
export function planOfPart<P extends TrainingPlan>(what: string, plan: P, parts = partsOf(plan)): P {
  const { batchSize } = plan;
  if (batchSize % parts !== 0)
    throw invalid(
      `${what}: accumulate is ${parts}, which does not divide the batchSize of ${batchSize} into equal parts: pass for example batchSize: ${Math.max(1, Math.round(batchSize / parts)) * parts}`,
    );
  return { ...plan, steps: plan.steps * parts, batchSize: batchSize / parts };
}

/** The steps of a training on one device, each from its batch to the packed weights. */
interface Stepping {
  /** All that a step submits beside its batch. */
  dispatches(): Dispatch[];
  /** Takes a step, counted from 0; `last` adds copies behind it. Short steps may wait for others, and for {@link flush}. */
  take(step: number, learningRate: number, last?: (encoder: GPUCommandEncoder) => void): Promise<void>;
  /** Submits the steps that wait. */
  flush(): Promise<void>;
}

/** Steps share a submit up to this share of what one may hold: making and starting one takes the time of a few dispatches. */
const shareOfSubmit = 1 / 4;

export function stepping(
  { what, backward, ...task }: TrainingTask,
  optimizer: OptimizerPlan,
  parts: number,
  arena: Arena,
  pacer: Pacer,
): Stepping {
  const fitted = hasSlowLengths(arena.session.info)
    ? (dispatches: readonly Dispatch[]) => sizedDispatches(dispatches, (name) => arena.buffer(name).size)
    : (dispatches: readonly Dispatch[]) => dispatches;
  const packs = optimizer.packs ? [] : planPackings(backward);
  const gradient = () => fitted(task.gradient(flopsPerDispatch(pacer.speed)));
  // the same in every step, planned again when the device turns out faster or slower
  let planned = gradient();
  let plannedAt = pacer.speed.flops;
  const sums = Array.from({ length: parts }, (_, part) => fitted(optimizer.gradient(part)));
  const end = (step: number, learningRate: number) =>
    fitted([...optimizer.step(step + 1, learningRate, flopsPerDispatch(pacer.speed)), ...packs]);
  let waiting: Dispatch[] = [];
  let flops = 0;
  const submit = async (last?: (encoder: GPUCommandEncoder) => void) => {
    const now = waiting;
    waiting = [];
    flops = 0;
    await pacer.submit(arena, what, now, last);
  };
  const isFull = (more: number) =>
    flops > shareOfSubmit * flopsPerDispatch(pacer.speed) || waiting.length + more > dispatchesPerSubmit;
  return {
    dispatches: () => [...planned, ...sums.flat(), ...end(0, 0)],
    async flush() {
      if (waiting.length > 0) await submit();
    },
    async take(step, learningRate, last) {
      const { speed } = pacer;
      if (speed.flops > 2 * plannedAt || speed.flops < plannedAt / 2) {
        planned = gradient();
        plannedAt = speed.flops;
      }
      for (const [part, sum] of sums.entries()) {
        const isLast = part === parts - 1;
        const batch = await task.batch(step * parts + part, arena, flopsPerDispatch(speed));
        const own = [...fitted(batch), ...planned, ...sum, ...(isLast ? end(step, learningRate) : [])];
        waiting.push(...own);
        for (const dispatch of own) flops += dispatch.flops;
        // what is uploaded for a batch is there for one submit
        const ends = !task.isDrawn || (isLast && last !== undefined);
        if (ends || isFull(own.length)) await submit(isLast ? last : undefined);
      }
    },
  };
}
