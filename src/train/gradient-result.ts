import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { readBack } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import { networkOf } from "../network/of.ts";
import type { Progress } from "../schedule/job.ts";
import { onDevice } from "../schedule/loss.ts";
import { flopsPerDispatch, Pacer } from "../schedule/pacer.ts";
import { SignOfLife } from "../schedule/sign-of-life.ts";
import { type Speed, speedOf } from "../schedule/speed.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { unflatten } from "../velocity/parameters.ts";
import { ofSteadyWeights } from "./alone.ts";
import { allocateAll } from "./buffers.ts";
import { largestBatch } from "./largest-batch.ts";

/** The speed at which a kind of training runs on a network. */
export function trainingSpeed(session: Session, what: string, velocity: TrainableVelocity): Speed {
  return speedOf(session, `${what} ${networkOf(velocity).tensors.map(({ shape }) => shape)}`);
}

/** From the batch that was given to "loss" and "gradient". */
export interface GradientPlan {
  readonly buffers: readonly PlannedBuffer[];
  readonly dispatches: readonly Dispatch[];
}

/** Throws unless a batch has rows, and no more than a step may have. */
export function checkBatchSize(what: string, name: string, count: number): void {
  if (count === 0) throw invalid(`${what}: ${name} is empty, but a mean needs at least one row`);
  if (count > largestBatch)
    throw invalid(
      `${what}: ${name} has ${count} rows, but a batch has at most ${largestBatch}: average the gradients of smaller ones`,
    );
}

/** Loss and gradient of a batch of `rows` rows with the weights of this moment, in "parameters"; `lend` adds buffers that are there already. */
export async function gradientOf(
  flow: Flow,
  what: string,
  velocity: TrainableVelocity,
  rows: number,
  onProgress: ((progress: Progress) => void) | undefined,
  plan: (maxFlops: number) => GradientPlan,
  lend?: (arena: Arena) => Promise<void>,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const on = async (session: Session, sign: SignOfLife) => {
    const speed = trainingSpeed(session, what, velocity);
    const { buffers, dispatches } = plan(flopsPerDispatch(speed));
    const flat = await flow.parameters.borrow(session);
    const arena = new Arena(session);
    let pacer: Pacer | undefined;
    try {
      arena.lend("parameters", flat.buffer);
      await allocateAll(arena, buffers);
      await lend?.(arena);
      pacer = new Pacer(session, speed, undefined, sign);
      await pacer.submit(arena, what, dispatches);
      const gradient = new Float32Array(
        await readBack(session, arena.buffer("gradient"), networkOf(velocity).parameterCount * 4),
      );
      const loss = item(new Float32Array(await readBack(session, arena.buffer("loss"), 4)), 0);
      await pacer.drain();
      return { loss, gradients: unflatten(flow.parameters.tensors, gradient) };
    } finally {
      pacer?.close();
      arena.release();
      flat.release();
    }
  };
  return ofSteadyWeights(flow, what, () =>
    told(onProgress, rows, (sign) => onDevice(flow.gpu, what, (session) => on(session, sign))),
  );
}

/** Runs `work` with what tells of it: of `rows` rows, whose gradient comes at once. */
async function told<T>(
  onProgress: ((progress: Progress) => void) | undefined,
  rows: number,
  work: (sign: SignOfLife) => Promise<T>,
): Promise<T> {
  const sign = new SignOfLife(onProgress, rows);
  const started = performance.now();
  try {
    const result = await work(sign);
    const particlesPerSecond = rows / Math.max(1e-9, (performance.now() - started) / 1000);
    sign.tell({ done: rows, total: rows, particlesPerSecond, secondsLeft: 0 });
    return result;
  } finally {
    sign.end();
  }
}
