// biome-ignore-start lint/correctness/noNodejsModules: this entry is for Node
import { hostname } from "node:os";
import process from "node:process";
// biome-ignore-end lint/correctness/noNodejsModules: this entry is for Node
import type { Job } from "bullmq";
import { invalid, PushforwardError } from "../errors.ts";
import { runFields } from "../flow/fields.ts";
import { Gpu } from "../gpu/gpu.ts";
import { must } from "../must.ts";
import { type Checked, checked, finite, functionThat, later, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";
import { adapterName } from "../spread/adapter-name.ts";
import { FlowShelf } from "../spread/flow-shelf.ts";
import { pack, unpack } from "../spread/parcel.ts";
import type { RangeHead } from "../spread/range-task.ts";
import { computeRange } from "../spread/range-work.ts";
import { failureText, leaseSeconds, mostStalls, prefix, type RangeJob, whyNot } from "./protocol.ts";
import { connect, isOfConnection, type Link, leave, tidy } from "./redis.ts";

/** What a worker does, as it happens. */
export interface JobEvent {
  /** `returned`: given back to the queue, because the worker stops. `dropped`: nobody waits for it any more. */
  readonly phase: "start" | "done" | "failed" | "returned" | "dropped";
  readonly worker: string;
  readonly what: string;
  readonly start: number;
  readonly count: number;
  readonly total: number;
  /** Of the range, unless it only starts. */
  readonly seconds?: number;
  /** Why it failed, and whether it is tried again. */
  readonly message?: string;
}

export interface WorkerOptions {
  /** Address of the Redis through which the machines meet. */
  url: string;
  /** Name of the queue. Default `"pushforward"`. */
  queue?: string;
  /** Name of this worker in messages. Default: host and process id. */
  name?: string;
  /** Ends the worker: the range in work is given back and goes to another one. */
  signal?: AbortSignal;
  onJob?: (event: JobEvent) => void;
  /** Hears what a person may want to know, such as that Redis is away. Default: `console.warn`. */
  onNotice?: (text: string) => void;
  /** Called once, when the worker is connected and takes ranges. */
  onReady?: (worker: { name: string; adapter: string }) => void;
  /**
   * Seconds without a sign of life after which a range is taken from this worker, should it die. It goes to another one within at
   * most twice as long. Default 10.
   */
  lockSeconds?: number;
}

const workerFields = {
  url: { check: later<string>, required: true },
  queue: { check: later<string> },
  name: { check: later<string> },
  signal: { check: runFields.signal.check },
  onJob: { check: functionThat<(event: JobEvent) => void>("that takes what a worker does") },
  onNotice: {
    check: functionThat<(text: string) => void>("that takes a text"),
    fallback: (text) => console.warn(text),
  },
  onReady: { check: functionThat<NonNullable<WorkerOptions["onReady"]>>("that takes { name, adapter }") },
  lockSeconds: { check: finite(1, 3600), fallback: 10 },
} satisfies Schema<WorkerOptions>;

type CheckedWorker = Checked<typeof workerFields>;

/** How often a worker asks whether somebody still waits for what it computes. */
const secondsBetweenLooks = 1;

/** Sets a result once, for a job that is still there. */
const setScript = `
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
redis.call("SET", KEYS[2], ARGV[1], "NX", "EX", ARGV[2])
return 1`;

/** Thrown to stop a computation that nobody waits for. */
class Dropped extends Error {
  override name = "UnrecoverableError";
}

/**
 * Serves ranges of other machines' calls until `signal` is aborted, one at a time, with any number of flows. A device that is lost
 * is opened again when `gpu` is a function that opens one; the range is tried again either way.
 *
 * @param gpu a device, or a function that opens one, which this worker then disposes of
 * @returns how many ranges were served
 * @throws PushforwardError `connection` when there is no Redis; `device-lost` when a device that was passed in is lost;
 * `unsupported` when `bullmq` or `ioredis` is not installed.
 * @example
 * import { openGpu } from "pushforward";
 * import { runWorker } from "pushforward/cluster";
 * await runWorker(openGpu, { url: "redis://localhost:6379", onJob: ({ phase, start }) => console.log(phase, start) });
 */
export async function runWorker(gpu: Gpu | (() => Promise<Gpu>), options: WorkerOptions): Promise<{ served: number }> {
  const what = "runWorker";
  const own = checked(what, workerFields, options);
  if (!(gpu instanceof Gpu) && typeof gpu !== "function")
    throw invalid(
      `${what}: the first argument is ${show(gpu)}, but it is what openGpu() resolved to, or openGpu itself`,
    );
  const { url, queue, signal, onNotice, lockSeconds } = own;
  signal?.throwIfAborted();
  const link = await connect(what, { url, queue, patience: Number.POSITIVE_INFINITY, onNotice });
  try {
    const worker = new RangeWorker(link, gpu, own);
    try {
      await worker.serve(lockSeconds);
    } finally {
      await worker.dispose();
    }
    return { served: worker.served };
  } finally {
    // Redis is tidied where it can be reached; the worker's own connection is gone by now, so that it no longer counts
    if (link.redis.status === "ready") await tidy(link).catch(() => undefined);
    link.close();
  }
}

class RangeWorker {
  served = 0;
  readonly #link: Link;
  readonly #shelf: FlowShelf;
  readonly #name: string;
  readonly #options: CheckedWorker;
  readonly #stop = new AbortController();

  constructor(link: Link, gpu: Gpu | (() => Promise<Gpu>), options: CheckedWorker) {
    this.#link = link;
    this.#shelf = new FlowShelf(gpu);
    this.#name = options.name ?? `${hostname()}-${process.pid}`;
    this.#options = options;
  }

  dispose(): Promise<void> {
    return this.#shelf.dispose();
  }

  /** Serves until it is stopped; rejects when it cannot go on. */
  async serve(lockSeconds: number): Promise<void> {
    const { bullmq, redis, queue } = this.#link;
    const { signal, onNotice, onReady } = this.#options;
    const adapter = adapterName(await this.#shelf.gpu());
    const worker = new bullmq.Worker<RangeJob>(
      queue,
      (job, token) => this.#process(job, must(token, "the token of a job")),
      {
        connection: redis,
        prefix,
        name: this.#name,
        concurrency: 1,
        lockDuration: 1000 * lockSeconds,
        stalledInterval: 500 * lockSeconds,
        maxStalledCount: mostStalls,
        drainDelay: 2,
      },
    );
    worker.on("error", (error) => {
      if (!isOfConnection(error)) onNotice(`worker ${this.#name}: ${error.message}`);
    });
    const afterwards = (job: Job<RangeJob> | undefined) => job && this.#removeUnwanted(job).catch(() => undefined);
    worker.on("completed", afterwards);
    worker.on("failed", afterwards);
    const onAbort = () => this.#stop.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      await worker.waitUntilReady();
      onReady?.({ name: this.#name, adapter });
      await new Promise<void>((resolve) => {
        if (this.#stop.signal.aborted) resolve();
        this.#stop.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await leave(this.#link, () => worker.close());
    }
    if (this.#shelf.isLost) throw (await this.#shelf.gpu()).current.lostError();
  }

  /** What is left of a call whose caller is gone goes, too. */
  async #removeUnwanted(job: Job<RangeJob>): Promise<void> {
    const { redis, keys } = this.#link;
    if ((await redis.exists(keys.call(job.data?.call))) === 1) return;
    await job.remove();
    const id = must(job.id, "the id of a job");
    await redis.del(keys.input(id), keys.result(id));
  }

  #tell(phase: JobEvent["phase"], { data }: Job<RangeJob>, more: { seconds?: number; message?: string } = {}): void {
    const { what, start, count, total } = data ?? {};
    this.#options.onJob?.({ phase, worker: this.#name, what, start, count, total, ...more });
  }

  async #process(job: Job<RangeJob>, token: string): Promise<void> {
    const started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    const current = new AbortController();
    const onStop = () => current.abort();
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    const looking = setInterval(() => {
      this.#isWanted(job).then(
        (isWanted) => isWanted || current.abort(),
        () => undefined,
      );
    }, 1000 * secondsBetweenLooks);
    this.#tell("start", job);
    try {
      if (this.#stop.signal.aborted) onStop();
      else await this.#solve(job, current.signal);
      current.signal.throwIfAborted();
      this.served++;
      this.#tell("done", job, { seconds: seconds() });
    } catch (error) {
      if (this.#stop.signal.aborted) {
        await job.moveToWait(token);
        this.#tell("returned", job, { seconds: seconds() });
        throw new this.#link.bullmq.WaitingError();
      }
      if (current.signal.aborted || error instanceof Dropped) {
        this.#tell("dropped", job, { seconds: seconds() });
        throw new Dropped("nobody waits for this range any more");
      }
      throw this.#failure(job, error, seconds());
    } finally {
      clearInterval(looking);
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  /** What BullMQ keeps of a failure: as text, and whether the job is tried again. */
  #failure(job: Job<RangeJob>, error: unknown, seconds: number): Error {
    const { text, isFinal } = failureText(error, this.#name);
    const isLost = error instanceof PushforwardError && error.code === "device-lost";
    // a device that was passed in cannot be had again: others go on without this worker
    if (isLost && !this.#shelf.renew()) this.#stop.abort();
    const left = (job.opts.attempts ?? 1) - job.attemptsMade - 1;
    const again = isFinal || left <= 0 ? "" : `; ${left} more attempts`;
    this.#tell("failed", job, { seconds, message: text + again });
    const { UnrecoverableError } = this.#link.bullmq;
    return isFinal ? new UnrecoverableError(text) : new Error(text);
  }

  async #isWanted(job: Job<RangeJob>): Promise<boolean> {
    return (await this.#link.redis.exists(this.#link.keys.call(job.data?.call))) === 1;
  }

  async #fetchFlow(hash: string): Promise<Uint8Array> {
    const bytes = await this.#link.redis.getBuffer(this.#link.keys.flow(hash));
    if (bytes) return bytes;
    throw new PushforwardError(
      "connection",
      `the flow ${hash.slice(0, 12)}… is no longer in Redis: its caller has gone, or Redis dropped it for want of memory`,
    );
  }

  async #solve(job: Job<RangeJob>, signal: AbortSignal): Promise<void> {
    const problem = whyNot(job.data);
    if (problem !== undefined) throw new PushforwardError("unsupported", problem);
    if (!(await this.#isWanted(job))) throw new Dropped();
    const { redis, keys } = this.#link;
    const { start, count } = job.data;
    const id = must(job.id, "the id of a job");
    const flow = await this.#shelf.flow(job.data.flow, () => this.#fetchFlow(job.data.flow));
    const input = await redis.getBuffer(keys.input(id));
    const given = input ? unpack(input, "an input").arrays : {};
    const { figures, arrays } = await computeRange(flow, job.data, given, signal);
    const adapter = adapterName(await this.#shelf.gpu());
    const head: RangeHead = { start, count, worker: this.#name, adapter, figures };
    const bytes = Buffer.from(pack(head, arrays));
    await redis.eval(setScript, 2, keys.job(id), keys.result(id), bytes, leaseSeconds);
  }
}
