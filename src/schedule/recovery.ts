import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Session } from "../gpu/session.ts";
import type { ChunkResult, Job, JobMaker, RunOptions } from "./job.ts";
import { runOn, type Standing } from "./run.ts";
import { SignOfLife } from "./sign-of-life.ts";
import { unlessAborted } from "./unless.ts";

/** What goes on after a loss is loaded with the first call, so that it is there when a page is no longer online. */
const afterLoss = () => import("./on-demand.ts");

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
  const call = new RecoveringCall(gpu, makeJob, options, sign);
  afterLoss().catch(() => undefined);
  const started = performance.now();
  try {
    for (;;) {
      const chunk = await call.next();
      if (chunk === "lost") continue;
      if (chunk === "done") return;
      const done = chunk.start + chunk.count;
      const particlesPerSecond = done / Math.max(1e-9, (performance.now() - started) / 1000);
      sign.tell({ done, total: count, particlesPerSecond, secondsLeft: (count - done) / particlesPerSecond });
      sign.pause();
      yield chunk;
      sign.resume();
    }
  } finally {
    sign.end();
    await call.end();
  }
}

/** A running call, on one device after the other. */
class RecoveringCall {
  readonly #gpu: Gpu;
  readonly #makeJob: JobMaker;
  readonly #options: RunOptions;
  readonly #sign: SignOfLife;
  readonly #standing: Standing = { next: 0, room: Number.POSITIVE_INFINITY, chunk: 0 };
  #session: Session | undefined;
  #job: Job | undefined;
  #results: AsyncGenerator<ChunkResult> | undefined;
  #version: number | undefined;
  /** The end of what has come so far, and the losses since it last grew. */
  #furthest = 0;
  #losses = 0;

  constructor(gpu: Gpu, makeJob: JobMaker, options: RunOptions, sign: SignOfLife) {
    this.#sign = sign;
    this.#gpu = gpu;
    this.#makeJob = makeJob;
    this.#options = options;
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
      // an abort says so, also when the device is lost at the same time
      signal?.throwIfAborted();
      if (this.#session.isDisposed) throw error;
      const { isLoss, prepareAgain } = await afterLoss().catch(() => {
        throw error;
      });
      if (!(await isLoss(this.#session, error))) throw error;
      const isComplete = this.#job !== undefined && this.#standing.next >= this.#job.count && !this.#job.isResident;
      if (isComplete) return "done";
      prepareAgain(this.#session, this.#job, this.#standing, ++this.#losses);
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
    this.#sign.check();
    return runOn(session, job, this.#standing, this.#options, this.#sign);
  }

  /** Frees all buffers. May be called twice. */
  async end(): Promise<void> {
    await this.#results?.return(undefined);
    this.#results = undefined;
    this.#job?.shared.release();
    this.#job = undefined;
  }
}
