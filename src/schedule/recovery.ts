import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Session } from "../gpu/session.ts";
import type { ChunkResult, Job, JobMaker, RunOptions } from "./job.ts";
import { runOn, type Standing } from "./run.ts";
import { speedOf } from "./speed.ts";
import { unlessAborted } from "./unless.ts";

/** How often the device may be lost without a result in between, before a call takes it for its own doing. */
export const mostLosses = 5;

/**
 * Runs a job and yields the results of its chunks in order. When the device is lost it goes on with another one, at the first
 * particle that was not yielded; a job whose results stay on the device begins anew. Every exit, also an early one, frees all buffers.
 *
 * @throws PushforwardError `device-lost` when there is no way to go on with the same bits.
 */
export async function* runJob(gpu: Gpu, makeJob: JobMaker, options: RunOptions = {}): AsyncGenerator<ChunkResult> {
  const call = new RecoveringCall(gpu, makeJob, options);
  const tell = progressTeller(options);
  try {
    for (;;) {
      const chunk = await call.next();
      if (chunk === "lost") continue;
      if (chunk === "done") return;
      tell(chunk, call.count);
      yield chunk;
    }
  } finally {
    await call.end();
  }
}

/** A running call, on one device after the other. */
class RecoveringCall {
  readonly #gpu: Gpu;
  readonly #makeJob: JobMaker;
  readonly #options: RunOptions;
  readonly #standing: Standing = { next: 0, room: Number.POSITIVE_INFINITY, chunk: 0 };
  #session: Session | undefined;
  #job: Job | undefined;
  #results: AsyncGenerator<ChunkResult> | undefined;
  #version: number | undefined;
  /** The end of what has come so far, and the losses since it last grew. */
  #furthest = 0;
  #losses = 0;

  constructor(gpu: Gpu, makeJob: JobMaker, options: RunOptions) {
    this.#gpu = gpu;
    this.#makeJob = makeJob;
    this.#options = options;
  }

  get count(): number {
    return this.#job?.count ?? 0;
  }

  /** The next chunk; `"lost"` when the device was lost instead, which is made good by asking again. */
  async next(): Promise<ChunkResult | "done" | "lost"> {
    const { signal } = this.#options;
    this.#session ??= await unlessAborted(signal, this.#gpu.session());
    try {
      this.#results ??= await this.#begin(this.#session);
      const { done, value } = await this.#results.next();
      if (done) return "done";
      const end = value.start + value.count;
      if (end > this.#furthest) this.#losses = 0;
      this.#furthest = Math.max(end, this.#furthest);
      return value;
    } catch (error) {
      if (!(await isLoss(this.#session, error, signal))) throw error;
      const isComplete = this.#job !== undefined && this.#standing.next >= this.#job.count && !this.#job.isResident;
      if (isComplete) return "done";
      this.#prepareAgain(this.#session, this.#job);
      await this.end();
      this.#session = undefined;
      return "lost";
    }
  }

  async #begin(session: Session): Promise<AsyncGenerator<ChunkResult>> {
    const job = await this.#makeJob(session);
    this.#job = job;
    this.#version ??= job.shared.version;
    if (job.shared.version !== this.#version) {
      throw new PushforwardError(
        "device-lost",
        `the GPU device was lost while ${job.what} ran, and its flow's weights were changed meanwhile: call it again`,
      );
    }
    return runOn(session, job, this.#standing, this.#options);
  }

  /** Makes sure that the call can go on after a loss. A flow that was disposed meanwhile says so. */
  #prepareAgain(session: Session, job: Job | undefined): void {
    job?.check?.();
    const standing = this.#standing;
    if (job?.reads && job.reads.length > 0) throw inputsAreGone(session, job, job.reads);
    if (++this.#losses > mostLosses) {
      const { next, chunk } = standing;
      const doing = `computed particles ${next} to ${next + Math.max(1, chunk) - 1}`;
      throw lostTooOften(job?.what ?? "a call", job ? doing : "began", this.#losses);
    }
    if (!job) return;
    if (job.isResident) standing.next = 0;
    if (this.#losses === 1) return;
    // a chunk by which the device was lost, perhaps by a watchdog of its driver, is tried again in smaller parts
    standing.room = Math.max(1, Math.floor(standing.chunk / 2));
    speedOf(session, job.family).flops /= 4;
  }

  /** Frees all buffers. May be called twice. */
  async end(): Promise<void> {
    await this.#results?.return(undefined);
    this.#results = undefined;
    this.#job?.shared.release();
    this.#job = undefined;
  }
}

/** The result of work that leaves nothing behind, done again on another device when the one that it ran on is lost. */
export async function onDevice<T>(gpu: Gpu, what: string, work: (session: Session) => Promise<T>): Promise<T> {
  for (let losses = 1; ; losses++) {
    const session = await gpu.session();
    try {
      return await work(session);
    } catch (error) {
      if (!(await isLoss(session, error, undefined))) throw error;
      if (losses > mostLosses) throw lostTooOften(what, "ran", losses);
    }
  }
}

/** Whether an error comes of the loss of the device. */
export async function isLoss(session: Session, error: unknown, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal?.aborted || session.isDisposed) return false;
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

/** Tells of chunks that are done. */
function progressTeller({ onProgress }: RunOptions): (chunk: ChunkResult, total: number) => void {
  const started = performance.now();
  return ({ start, count }, total) => {
    if (!onProgress) return;
    const done = start + count;
    const particlesPerSecond = done / Math.max(1e-9, (performance.now() - started) / 1000);
    onProgress({ done, total, particlesPerSecond, secondsLeft: (total - done) / particlesPerSecond });
  };
}
