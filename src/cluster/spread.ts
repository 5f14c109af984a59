import type { Queue } from "bullmq";
import { PushforwardError } from "../errors.ts";
import type { SpreadCall } from "../spread/call.ts";
import { CallProgress } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import { Ending } from "../spread/ending.ts";
import { inOrder } from "../spread/in-order.ts";
import { pack, unpack } from "../spread/parcel.ts";
import { attempts, describeRange, type FinishedRange, type RangeHead } from "../spread/range-task.ts";
import { type Range, rangesOfCall } from "../spread/ranges.ts";
import { version } from "../spread/version.ts";
import { leaseSeconds, protocol, type RangeJob } from "./protocol.ts";
import type { Link } from "./redis.ts";
import type { Waiters } from "./waiters.ts";

/** What the calls of a cluster share. */
export interface Shared {
  readonly link: Link;
  readonly queue: Queue;
  readonly waiters: Waiters;
  readonly closing: AbortSignal;
  /** Calls that have something in Redis. */
  readonly calls: Set<{ end(): Promise<void> }>;
  readonly onNotice: (text: string) => void;
}

/** Of a caller that was killed, what is done goes when later jobs are done. */
const keep = { age: 10 * leaseSeconds };

/** How often a call looks whether workers are there. */
const secondsBetweenLooks = 3;

/** Puts a flow into Redis unless it is there, and stands among those who need it. */
async function hold({ redis, keys }: Link, { hash, parcel }: CarriedFlow, call: string): Promise<void> {
  const [flow, holders] = [keys.flow(hash), keys.holders(hash)];
  await redis.multi().sadd(holders, call).expire(holders, leaseSeconds).exec();
  // one that is there may be about to expire
  if ((await redis.expire(flow, leaseSeconds)) === 0) await redis.set(flow, Buffer.from(parcel), "EX", leaseSeconds);
}

const letGoScript = `
redis.call("SREM", KEYS[2], ARGV[1])
if redis.call("EXISTS", KEYS[2]) == 0 then redis.call("DEL", KEYS[1]) end`;

async function letGo({ redis, keys }: Link, { hash }: CarriedFlow, call: string): Promise<void> {
  await redis.eval(letGoScript, 2, keys.flow(hash), keys.holders(hash), call);
}

/** One call on its way: what of it is in Redis. */
class Running {
  readonly id = crypto.randomUUID();
  readonly #shared: Shared;
  readonly #flow: CarriedFlow;
  readonly #call: SpreadCall;
  /** Jobs that are in the queue, or on their way there. */
  readonly #jobs = new Set<string>();
  readonly #sending = new Set<Promise<unknown>>();
  #end: Promise<void> | undefined;
  readonly #progress: CallProgress;

  get sign() {
    return this.#progress.sign;
  }

  constructor(shared: Shared, flow: CarriedFlow, call: SpreadCall) {
    this.#shared = shared;
    this.#flow = flow;
    this.#call = call;
    this.#progress = new CallProgress(call);
  }

  begin(): Promise<void> {
    const { link } = this.#shared;
    const beginning = (async () => {
      await hold(link, this.#flow, this.id);
      await link.redis.set(link.keys.call(this.id), this.#call.what, "EX", leaseSeconds);
    })();
    this.#sending.add(beginning);
    return beginning.finally(() => this.#sending.delete(beginning));
  }

  /** Sends a range and waits for its result, which is then no longer in Redis. */
  async solve(range: Range, index: number): Promise<FinishedRange> {
    const { link, waiters } = this.#shared;
    const { what, total, options } = this.#call;
    const id = `${this.id}-${index}`;
    const job: RangeJob = { protocol, version, call: this.id, what, flow: this.#flow.hash, ...range, total, options };
    const finished = waiters.wait(id, job);
    finished.catch(() => undefined);
    this.#jobs.add(id);
    const sending = this.#send(id, job, range);
    this.#sending.add(sending);
    await sending.finally(() => this.#sending.delete(sending));
    await finished;
    const bytes = await link.redis.getBuffer(link.keys.result(id));
    if (!bytes)
      throw new PushforwardError(
        "connection",
        `the result of ${describeRange(job)} is no longer in Redis: results are kept for ${leaseSeconds} s, and Redis may drop them when its memory is full`,
      );
    await this.#remove(id);
    const { head, arrays } = unpack<RangeHead>(bytes, "a result");
    this.#progress.add(range.count);
    return { ...head, arrays };
  }

  async #send(id: string, job: RangeJob, range: Range): Promise<void> {
    const { link, queue } = this.#shared;
    const input = this.#call.input(range);
    if (Object.keys(input).length > 0)
      await link.redis.set(link.keys.input(id), Buffer.from(pack({}, input)), "EX", leaseSeconds);
    if (!this.#end) await queue.add(job.what, job, { jobId: id, attempts, removeOnComplete: keep, removeOnFail: keep });
  }

  async #remove(id: string): Promise<void> {
    const { link, queue, waiters } = this.#shared;
    waiters.forget(id);
    // A job that a worker has now cannot be removed: the worker finds the call's key gone, and removes it.
    await queue.remove(id);
    await link.redis.del(link.keys.input(id), link.keys.result(id));
    this.#jobs.delete(id);
  }

  /** Keeps what is in Redis alive. Throws when it has gone. */
  async renew(): Promise<void> {
    const { redis, keys } = this.#shared.link;
    const { hash } = this.#flow;
    const pipeline = redis.pipeline().expire(keys.call(this.id), leaseSeconds).expire(keys.flow(hash), leaseSeconds);
    pipeline.expire(keys.holders(hash), leaseSeconds);
    for (const id of this.#jobs) pipeline.expire(keys.input(id), leaseSeconds).expire(keys.result(id), leaseSeconds);
    const answers = await pipeline.exec();
    if (answers?.slice(0, 2).some(([error, found]) => error === null && found === 0))
      throw new PushforwardError(
        "connection",
        `Redis no longer has the flow or the call: it was restarted or emptied, its memory is full, or this process was stopped for more than ${leaseSeconds} s; call again`,
      );
  }

  /** Takes back whatever is still in Redis; once. */
  end(): Promise<void> {
    this.#end ??= this.#takeBack();
    return this.#end;
  }

  async #takeBack(): Promise<void> {
    const { link } = this.#shared;
    if (link.redis.status !== "ready") return;
    await Promise.allSettled(this.#sending);
    await link.redis.del(link.keys.call(this.id));
    for (const id of this.#jobs) await this.#remove(id);
    await letGo(link, this.#flow, this.id);
  }
}

/** Looks how many workers there are, and tells when there is none; once, and again after some have come and gone. */
function lookOut({ link, queue, onNotice }: Shared): () => Promise<number> {
  let empty = 0;
  return async () => {
    const workers = await queue.getWorkersCount();
    empty = workers === 0 ? empty + 1 : 0;
    if (empty === 2)
      onNotice(
        `no worker is connected to the queue "${link.queue}" of ${link.place}: start one with \`npx pushforward worker --redis ${link.place}\`; the call waits`,
      );
    return workers;
  };
}

/**
 * The ranges of a call in order, each as soon as it and those before it are there. `aheadOfEach` times as many as there are
 * workers are under way or wait for their turn, unless the call says how many.
 */
export async function* spread(
  shared: Shared,
  flow: CarriedFlow,
  call: SpreadCall,
  aheadOfEach: number,
): AsyncGenerator<FinishedRange> {
  const { closing, calls } = shared;
  const ending = new Ending(call.signal, closing);
  const running = new Running(shared, flow, call);
  running.sign.onFault = ending.fail;
  const look = lookOut(shared);
  let workers = 0;
  const renew = () => void running.renew().catch(ending.fail);
  const renewing = setInterval(renew, (1000 * leaseSeconds) / 6);
  const { onReturn } = shared.link;
  const looking = setInterval(() => {
    look().then(
      (count) => {
        workers = count;
      },
      // the loss of the connection is told elsewhere
      () => undefined,
    );
  }, 1000 * secondsBetweenLooks);
  ending.signal.addEventListener("abort", () => {
    clearInterval(looking);
    clearInterval(renewing);
    onReturn.delete(renew);
  });
  calls.add(running);
  try {
    await Promise.race([running.begin(), ending.stopped]);
    // a Redis that was started anew knows nothing of the call
    onReturn.add(renew);
    workers = await Promise.race([look(), ending.stopped]);
    const ahead = () => call.spread.ahead ?? aheadOfEach * Math.max(2, workers);
    const ranges = inOrder(ending, rangesOfCall(call, workers), ahead, (range, index) => running.solve(range, index));
    for await (const range of ranges) {
      running.sign.pause();
      yield range;
      running.sign.resume();
    }
  } finally {
    running.sign.end();
    ending.end();
    await running.end();
    calls.delete(running);
  }
}
