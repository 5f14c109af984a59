import type { Queue, QueueEvents } from "bullmq";
import { invalid } from "../errors.ts";
import { type Checked, checked, later, type Schema } from "../options/schema.ts";
import type { SpreadCall } from "../spread/call.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import type { FinishedRange } from "../spread/range-task.ts";
import { type AdapterOptions, adapterFields, SpreadCalls } from "../spread/spread-calls.ts";
import { leaseSeconds, prefix } from "./protocol.ts";
import { connect, type Link, leave, tidy } from "./redis.ts";
import { spread } from "./spread.ts";
import { Waiters } from "./waiters.ts";

export interface ClusterOptions extends AdapterOptions {
  /** Address of the Redis through which the machines meet: `redis://[user:password@]host:port[/database]`, `rediss://` for TLS. */
  url: string;
  /** Name of the queue, the same as the workers'. Default `"pushforward"`. */
  queue?: string;
  /** Hears what a person may want to know: no worker is there, a worker vanished, Redis is away. Default: `console.warn`. */
  onNotice?: (text: string) => void;
}

/** Address and name of the queue are checked where they are connected to. */
const clusterFields = {
  url: { check: later<string>, required: true },
  queue: { check: later<string> },
  ...adapterFields,
} satisfies Schema<ClusterOptions>;

/**
 * Workers on other machines (or other processes), met through a Redis. Calls are cut into ranges of particles, which BullMQ hands
 * to the workers; a range whose worker dies goes to another one. Particle i depends on the seed and on i alone, so the results are
 * the bytes of a call on one machine with the workers' adapter. Made by {@link openCluster}.
 */
export class Cluster extends SpreadCalls {
  readonly #link: Link;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #waiters: Waiters;
  readonly #onNotice: (text: string) => void;
  readonly #calls = new Set<{ end(): Promise<void> }>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(link: Link, queue: Queue, events: QueueEvents, options: Checked<typeof clusterFields>) {
    super(options);
    this.#link = link;
    this.#queue = queue;
    this.#events = events;
    this.#onNotice = options.onNotice;
    this.#waiters = new Waiters(events, this.#onNotice);
    link.ended.catch((error: unknown) => this.#closing.abort(error));
  }

  /** @internal */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const what = "openCluster";
    const own = checked(what, clusterFields, options);
    const { url, queue, onNotice } = own;
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
      return new Cluster(link, jobs, events, own);
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** Workers that are connected now. */
  async workerCount(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  /** @internal */
  protected async *spread(carried: CarriedFlow, call: SpreadCall, aheadOfEach: number): AsyncGenerator<FinishedRange> {
    if (this.#closed) throw invalid("this cluster has been closed: open a new one with openCluster()");
    const shared = {
      link: this.#link,
      queue: this.#queue,
      waiters: this.#waiters,
      closing: this.#closing.signal,
      calls: this.#calls,
      onNotice: this.#onNotice,
    };
    yield* spread(shared, carried, call, aheadOfEach);
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
