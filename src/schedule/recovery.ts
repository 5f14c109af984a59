import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Session } from "../gpu/session.ts";
import type { ChunkResult, Job, JobMaker, RunOptions } from "./job.ts";
import { acrossLosses } from "./loss.ts";
import { runOn, type Standing } from "./run.ts";
import { SignOfLife } from "./sign-of-life.ts";
import { speedOf } from "./speed.ts";

/**
 * Runs a job and yields the results of its chunks in order. When the device is lost it goes on with another one, at the first
 * particle that was not yielded; a job whose results stay on the device begins anew. Every exit, also an early one, frees all buffers.
 *
 * @throws PushforwardError `device-lost` when there is no way to go on with the same bits.
 */
export async function* runJob(
  gpu: Gpu,
  count: number,
  makeJob: JobMaker,
  options: RunOptions = {},
): AsyncGenerator<ChunkResult> {
  const sign = new SignOfLife(options.onProgress, count);
  const standing: Standing = { next: 0, room: Number.POSITIVE_INFINITY, chunk: 0 };
  const started = performance.now();
  let job: Job | undefined;
  let version: number | undefined;

  async function* on(session: Session): AsyncGenerator<ChunkResult, undefined> {
    job = undefined;
    const made = await makeJob(session);
    job = made;
    try {
      version ??= made.shared.version;
      if (made.shared.version !== version) throw weightsChanged(made);
      sign.check();
      yield* runOn(session, made, standing, options, sign);
    } finally {
      made.shared.release();
    }
  }

  const chunks = acrossLosses(gpu, {
    signal: options.signal,
    sign,
    on,
    reached: () => standing.next,
    prepare: (session, losses) => prepare(session, job, standing, losses),
    doing: () => doing(job, standing),
  });
  try {
    for await (const chunk of chunks) {
      const done = chunk.start + chunk.count;
      const particlesPerSecond = done / Math.max(1e-9, (performance.now() - started) / 1000);
      sign.tell({ done, total: count, particlesPerSecond, secondsLeft: (count - done) / particlesPerSecond });
      yield chunk;
    }
  } finally {
    sign.end();
  }
}

/** Makes sure that a job can go on after a loss, in smaller parts when it is not the first. A flow that was disposed meanwhile says so. */
function prepare(session: Session, job: Job | undefined, standing: Standing, losses: number): "again" | "done" {
  if (!job) return "again";
  const { isResident, reads = [], count, family } = job;
  if (standing.next >= count && !isResident) return "done";
  job.check?.();
  if (reads.length > 0) throw inputsAreGone(session, job, reads);
  if (isResident) standing.next = 0;
  if (losses === 1) return "again";
  // a chunk by which the device was lost, perhaps by a watchdog of its driver, is tried again in smaller parts
  standing.room = Math.max(1, Math.floor(standing.chunk / 2));
  speedOf(session, family).flops /= 4;
  return "again";
}

function doing(job: Job | undefined, { next, chunk }: Standing): string {
  return job ? `${job.what} computed particles ${next} to ${next + Math.max(1, chunk) - 1}` : "a call began";
}

function weightsChanged({ what }: Job): PushforwardError {
  return new PushforwardError(
    "device-lost",
    `the GPU device was lost while ${what} ran, and its flow's weights were changed meanwhile: call it again`,
  );
}

function inputsAreGone(session: Session, { what }: Job, names: readonly string[]): PushforwardError {
  return new PushforwardError(
    "device-lost",
    `${session.whyLost()}, and with it ${names.join(" and ")}, passed to ${what} in a GPUBuffer: make it anew on gpu.device, which the next call opens, or pass a Float32Array`,
  );
}
