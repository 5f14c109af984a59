import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Session } from "../gpu/session.ts";
import type { Job } from "./job.ts";
import type { Standing } from "./run.ts";
import { speedOf } from "./speed.ts";

/** How often the device may be lost without a result in between, before a call takes it for its own doing. */
export const mostLosses = 5;

/** The result of work that leaves nothing behind, done again on another device when the one that it ran on is lost. */
export async function onDevice<T>(gpu: Gpu, what: string, work: (session: Session) => Promise<T>): Promise<T> {
  for (let losses = 1; ; losses++) {
    const session = await gpu.session();
    try {
      return await work(session);
    } catch (error) {
      if (!(await isLoss(session, error))) throw error;
      if (losses > mostLosses) throw lostTooOften(what, "ran", losses);
    }
  }
}

/** Whether an error comes of the loss of the device. */
export async function isLoss(session: Session, error: unknown): Promise<boolean> {
  if (session.isDisposed) return false;
  // these have reasons of their own
  const own = error instanceof PushforwardError && ["invalid-argument", "unsupported", "format"].includes(error.code);
  return own ? false : session.hasGone();
}

function inputsAreGone(session: Session, { what }: Job, names: readonly string[]): PushforwardError {
  return new PushforwardError(
    "device-lost",
    `${session.whyLost()}, and with it ${names.join(" and ")}, passed to ${what} in a GPUBuffer: make it anew on gpu.device, which the next call opens, or pass a Float32Array`,
  );
}

/** The end of a call that loses one device after the other. */
export function lostTooOften(what: string, doing: string, losses: number): PushforwardError {
  return new PushforwardError(
    "device-lost",
    `the GPU device was lost ${losses} times in a row while ${what} ${doing}: see whether its driver has an update, and pass a smaller chunkSize or batchSize`,
  );
}

/** Makes sure that a call can go on after the loss number `losses` since it last got on. A flow that was disposed meanwhile says so. */
export function prepareAgain(session: Session, job: Job | undefined, standing: Standing, losses: number): void {
  job?.check?.();
  if (job?.reads && job.reads.length > 0) throw inputsAreGone(session, job, job.reads);
  if (losses > mostLosses) {
    const { next, chunk } = standing;
    const doing = `computed particles ${next} to ${next + Math.max(1, chunk) - 1}`;
    throw lostTooOften(job?.what ?? "a call", job ? doing : "began", losses);
  }
  if (!job) return;
  if (job.isResident) standing.next = 0;
  if (losses === 1) return;
  // a chunk by which the device was lost, perhaps by a watchdog of its driver, is tried again in smaller parts
  standing.room = Math.max(1, Math.floor(standing.chunk / 2));
  speedOf(session, job.family).flops /= 4;
}
