import type { Flow } from "../flow/flow.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { readBack } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import { networkOf } from "../network/of.ts";
import type { Progress } from "../schedule/job.ts";
import { Pacer } from "../schedule/pacer.ts";
import { SignOfLife } from "../schedule/sign-of-life.ts";
import { type Speed, speedOf } from "../schedule/speed.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { unflatten } from "../velocity/parameters.ts";

/** The speed at which a kind of training runs on a network. */
export function trainingSpeed(session: Session, what: string, velocity: TrainableVelocity): Speed {
  return speedOf(session, `${what} ${networkOf(velocity).tensors.map(({ shape }) => shape)}`);
}

/** Runs the dispatches that leave "gradient" and "loss" in the arena, and brings both back. */
export async function gradientResult(
  flow: Flow,
  velocity: TrainableVelocity,
  what: string,
  arena: Arena,
  dispatches: readonly Dispatch[],
  sign: SignOfLife,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const { session } = arena;
  const pacer = new Pacer(session, trainingSpeed(session, what, velocity), undefined, sign);
  try {
    await pacer.submit(arena, what, dispatches);
    const gradient = new Float32Array(
      await readBack(session, arena.buffer("gradient"), networkOf(velocity).parameterCount * 4),
    );
    const loss = item(new Float32Array(await readBack(session, arena.buffer("loss"), 4)), 0);
    await pacer.drain();
    return { loss, gradients: unflatten(flow.parameters.tensors, gradient) };
  } finally {
    pacer.close();
  }
}

/** Runs `work` with what tells of it: of `rows` rows, whose gradient comes at once. */
export async function told<T>(
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
