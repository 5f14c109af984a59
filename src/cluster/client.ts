import type { Queue, QueueEvents } from "bullmq";
import { invalid, PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import type { Histogram, MeanLogProb, Moments } from "../flow/reductions.ts";
import { type LogProb, logProbResult, type Samples } from "../flow/results.ts";
import { checkKeys } from "../options.ts";
import {
  type ClusterHistogramOptions,
  type ClusterLogProbOptions,
  type ClusterMomentOptions,
  type ClusterSampleOptions,
  histogramCall,
  logProbCall,
  meanLogProbCall,
  momentsCall,
  type SpreadCall,
  type SummaryCall,
  sampleCall,
} from "./call.ts";
import { type CarriedFlow, carry } from "./carried-flow.ts";
import { Gathering, type Solved, solvedOf } from "./gather.ts";
import { leaseSeconds, prefix } from "./protocol.ts";
import { Replay } from "./range-work.ts";
import { connect, type Link, leave, tidy } from "./redis.ts";
import { type FinishedRange, spread } from "./spread.ts";
import { Waiters } from "./waiters.ts";

export interface ClusterOptions {
  /** Address of the Redis through which the machines meet: `redis://[user:password@]host:port[/database]`, `rediss://` for TLS. */
  url: string;
  /** Name of the queue, the same as the workers'. Default `"pushforward"`. */
  queue?: string;
  /**
   * Whether a call fails when ranges come from adapters of different kinds, whose last bits may differ. Default false: the
   * result says in `adapters` which ones took part, and `onNotice` hears of the second one.
   */
  sameAdapter?: boolean;
  /** Hears what a person may want to know: no worker is there, a worker vanished, Redis is away. Default: `console.warn`. */
  onNotice?: (text: string) => void;
}

/** Ranges per worker that may be ahead of a consumer, who holds them up; */
const aheadOfConsumer = 2;
/** and of a result, which holds all of them in the end: those before a lost range do not keep the others from work. */
const aheadOfResult = 6;

/** Who computed a range. */
export interface ComputedBy {
  /** Name of the worker. */
  worker: string;
  /** Its adapter. */
  adapter: string;
}

/** The adapters that took part in a call: its bits are those of one machine if there is one of them. */
export interface Adapters {
  adapters: string[];
}

/**
 * Workers on other machines (or other processes), met through a Redis. Calls are cut into ranges of particles, which BullMQ hands
 * to the workers; a range whose worker dies goes to another one. Particle i depends on the seed and on i alone, so the results are
 * the bytes of a call on one machine with the workers' adapter. Made by {@link openCluster}.
 */
export class Cluster {
  readonly #link: Link;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #waiters: Waiters;
  readonly #sameAdapter: boolean;
  readonly #onNotice: (text: string) => void;
  readonly #calls = new Set<{ end(): Promise<void> }>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(link: Link, queue: Queue, events: QueueEvents, options: ClusterOptions) {
    this.#link = link;
    this.#queue = queue;
    this.#events = events;
    this.#sameAdapter = options.sameAdapter ?? false;
    this.#onNotice = options.onNotice ?? console.warn;
    this.#waiters = new Waiters(events, this.#onNotice);
    link.ended.catch((error: unknown) => this.#closing.abort(error));
  }

  /** @internal */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const what = "openCluster";
    checkKeys(what, options, ["url", "queue", "sameAdapter", "onNotice"]);
    const { url, queue, onNotice = console.warn } = options;
    const link = await connect(what, { url, queue, patience: leaseSeconds / 4, onNotice });
    try {
      const jobs = new link.bullmq.Queue(link.queue, { connection: link.redis, prefix });
      // what goes wrong with the connection is told by the link
      jobs.on("error", () => undefined);
      // from the server's present time on, so that no event is missed before the first read
      const [seconds] = await link.redis.time();
      const lastEventId = `${Number(seconds) * 1000}-0`;
      const events = new link.bullmq.QueueEvents(link.queue, { connection: link.redis, prefix, lastEventId });
      events.on("error", () => undefined);
      await Promise.race([Promise.all([jobs.waitUntilReady(), events.waitUntilReady()]), link.ended]);
      return new Cluster(link, jobs, events, options);
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** Workers that are connected now. */
  async workerCount(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  /**
   * {@link Flow.sampleStream} on the workers: ranges in order, no more under way than `ahead`, so a slow consumer holds the workers
   * up and memory is bounded here and in Redis. An early end takes back what is not done.
   *
   * @throws PushforwardError `invalid-argument` for bad options; `connection` when Redis is lost for half a minute; that of a range
   * which failed for good, with the range and the worker in its message.
   */
  async *sampleStream(
    flow: Flow | Uint8Array,
    count: number,
    options: ClusterSampleOptions = {},
  ): AsyncIterableIterator<Samples & ComputedBy & { start: number }> {
    const carried = await carry("sampleStream", flow);
    const call = sampleCall(carried.shape, "sampleStream", count, options);
    if (count === 0) return;
    for await (const { figures, arrays, start, count: particles, worker, adapter } of this.#spread(
      carried,
      call,
      aheadOfConsumer,
    ))
      yield { ...solvedOf(figures, arrays), start, count: particles, worker, adapter };
  }

  /** {@link Flow.sample} on the workers. */
  async sample(
    flow: Flow | Uint8Array,
    count: number,
    options: ClusterSampleOptions = {},
  ): Promise<Samples & Adapters> {
    const carried = await carry("sample", flow);
    const { result, adapters } = await this.#gather(carried, sampleCall(carried.shape, "sample", count, options));
    return { ...result, count, adapters };
  }

  /** {@link Flow.logProb} on the workers: log p of the rows of `x` [n, dim], in nats and data units. */
  async logProb(
    flow: Flow | Uint8Array,
    x: Float32Array,
    options: ClusterLogProbOptions = {},
  ): Promise<LogProb & Adapters> {
    const carried = await carry("logProb", flow);
    const { result, adapters } = await this.#gather(carried, logProbCall(carried.shape, "logProb", x, options));
    return { ...logProbResult(result), adapters };
  }

  /** {@link Flow.moments} on the workers: only sums travel. */
  async moments(
    flow: Flow | Uint8Array,
    count: number,
    options: ClusterMomentOptions = {},
  ): Promise<Moments & Adapters> {
    const carried = await carry("moments", flow);
    return this.#summarise(carried, momentsCall(carried.shape, count, options));
  }

  /** {@link Flow.histogram} on the workers: only counts travel. */
  async histogram(
    flow: Flow | Uint8Array,
    count: number,
    options: ClusterHistogramOptions,
  ): Promise<Histogram & Adapters> {
    const carried = await carry("histogram", flow);
    return this.#summarise(carried, histogramCall(carried.shape, count, options));
  }

  /** {@link Flow.meanLogProb} of the rows of `x` on the workers: rows go there, sums come back. */
  async meanLogProb(
    flow: Flow | Uint8Array,
    x: Float32Array,
    options: ClusterLogProbOptions = {},
  ): Promise<MeanLogProb & Adapters> {
    const carried = await carry("meanLogProb", flow);
    return this.#summarise(carried, meanLogProbCall(carried.shape, x, options));
  }

  async #summarise<T>(carried: CarriedFlow, { call, summary }: SummaryCall<T>): Promise<T & Adapters> {
    const replay = new Replay(summary.reduction);
    const adapters = new Set<string>();
    for await (const { figures, arrays, adapter } of this.#spread(carried, call, aheadOfResult)) {
      replay.take(figures, arrays);
      adapters.add(adapter);
    }
    return { ...summary.result(replay.nonFinite), adapters: [...adapters] };
  }

  async #gather(carried: CarriedFlow, call: SpreadCall): Promise<{ result: Solved; adapters: string[] }> {
    const gathering = new Gathering(call.total);
    const adapters = new Set<string>();
    for await (const { start, count, figures, arrays, adapter } of this.#spread(carried, call, aheadOfResult)) {
      gathering.take(start, count, solvedOf(figures, arrays));
      adapters.add(adapter);
    }
    return { result: gathering.result(), adapters: [...adapters] };
  }

  async *#spread(carried: CarriedFlow, call: SpreadCall, aheadOfEach: number): AsyncGenerator<FinishedRange> {
    if (this.#closed) throw invalid("this cluster has been closed: open a new one with openCluster()");
    const adapters = new Set<string>();
    const shared = {
      link: this.#link,
      queue: this.#queue,
      waiters: this.#waiters,
      closing: this.#closing.signal,
      calls: this.#calls,
      onNotice: this.#onNotice,
    };
    for await (const range of spread(shared, carried, call, aheadOfEach)) {
      this.#checkAdapter(adapters, range);
      yield range;
    }
  }

  #checkAdapter(adapters: Set<string>, { adapter, worker }: FinishedRange): void {
    if (adapters.has(adapter)) return;
    const [first] = adapters;
    adapters.add(adapter);
    if (first === undefined) return;
    const text = `worker ${worker} has the adapter "${adapter}", others have "${first}": the last bits of their results may differ`;
    if (this.#sameAdapter)
      throw new PushforwardError("unsupported", `${text}; stop one kind of workers, or leave sameAdapter out`);
    this.#onNotice(text);
  }

  /** Stops running calls, takes back what they have in Redis, and disconnects. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(invalid("the cluster was closed while the call ran: close it after its calls"));
    await leave(this.#link, async () => {
      // whoever holds a stream and does not ask for its next range hears of it when he does
      await Promise.allSettled([...this.#calls].map((call) => call.end()));
      await this.#events.close();
      await this.#queue.close();
      if (this.#link.redis.status === "ready") await tidy(this.#link);
    });
    this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Connects to the Redis where workers wait (`npx pushforward worker --redis …`, or {@link runWorker}).
 *
 * @throws PushforwardError `connection` within seconds when there is no Redis; `unsupported` when `bullmq` or `ioredis` is not
 * installed; `invalid-argument`.
 * @example
 * import { readFile } from "node:fs/promises";
 * import { openCluster } from "pushforward/cluster";
 * const cluster = await openCluster({ url: "redis://localhost:6379" });
 * const { x } = await cluster.sample(new Uint8Array(await readFile("flow.safetensors")), 1_000_000, { seed: 1 });
 * await cluster.close();
 */
export function openCluster(options: ClusterOptions): Promise<Cluster> {
  return Cluster.open(options);
}
