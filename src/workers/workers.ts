import { invalid } from "../errors.ts";
import type { SpreadCall } from "../spread/call.ts";
import { CallProgress } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import { Ending } from "../spread/ending.ts";
import { inOrder } from "../spread/in-order.ts";
import type { FinishedRange } from "../spread/range-task.ts";
import { type Range, rangesOfCall } from "../spread/ranges.ts";
import { type ComputedBy, SpreadCalls } from "../spread/spread-calls.ts";
import { DeviceWorker } from "./device-worker.ts";
import { checkWorkersOptions, type WorkersOptions } from "./options.ts";
import { Pool } from "./pool.ts";
import type { RangeWorker } from "./range-worker.ts";
import { ThreadWorker } from "./thread-worker.ts";

/**
 * Threads and devices of one machine. Calls are cut into ranges of particles, of which each worker computes one at a time; a range
 * whose worker ends goes to another one. Particle i depends on the seed and on i alone, so the results are the bytes of a call on
 * one device with the workers' adapter. Made by {@link openWorkers}.
 */
export class Workers extends SpreadCalls {
  readonly #pool: Pool;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(pool: Pool, options: ReturnType<typeof checkWorkersOptions>) {
    super(options);
    this.#pool = pool;
  }

  /** @internal */
  static async open(options: WorkersOptions): Promise<Workers> {
    const own = checkWorkersOptions(options);
    const { workers: places, gpu, script, onNotice } = own;
    const opening = places.map(async (place, i): Promise<RangeWorker> => {
      if (place === "thread") return ThreadWorker.open({ number: i + 1, script }, gpu);
      return DeviceWorker.open(`device ${i + 1}`, `openWorkers: workers[${i}]`, place);
    });
    const opened = await Promise.allSettled(opening);
    const workers = opened.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = opened.find((one) => one.status === "rejected");
    if (!failed) return new Workers(new Pool(workers, onNotice), own);
    await Promise.all(workers.map((worker) => worker.close()));
    throw failed.reason;
  }

  /** Those that take ranges now: their names and adapters. */
  get workers(): readonly ComputedBy[] {
    return this.#pool.workers.map(({ name, adapter }) => ({ worker: name, adapter }));
  }

  /** How many take ranges now. */
  async workerCount(): Promise<number> {
    return this.#pool.workers.length;
  }

  /** @internal */
  protected async *spread(flow: CarriedFlow, call: SpreadCall, aheadOfEach: number): AsyncGenerator<FinishedRange> {
    if (this.#closed) throw invalid("these workers have been closed: open new ones with openWorkers()");
    const ending = new Ending(call.signal, this.#closing.signal);
    const progress = new CallProgress(call);
    progress.sign.onFault = ending.fail;
    ending.signal.addEventListener("abort", () => this.#pool.recall(ending.signal), { once: true });
    const { what, total, options } = call;
    const running = new Set<Promise<FinishedRange>>();
    const solve = async (range: Range) => {
      const task = { what, ...range, total, options };
      const waits = progress.waits.bind(progress);
      const solving = this.#pool.solve({ flow, task, input: () => call.input(range), signal: ending.signal, waits });
      running.add(solving);
      const finished = await solving.finally(() => running.delete(solving));
      progress.add(range.count);
      return finished;
    };
    const ahead = () => call.spread.ahead ?? aheadOfEach * Math.max(2, this.#pool.workers.length);
    try {
      for await (const range of inOrder(ending, rangesOfCall(call, this.#pool.workers.length), ahead, solve)) {
        progress.sign.pause();
        yield range;
        progress.sign.resume();
      }
    } finally {
      progress.sign.end();
      ending.end();
      // devices are free, and their buffers, when the call is over
      await Promise.allSettled(running);
    }
  }

  /** Stops running calls, ends the threads and frees what was opened here. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(invalid("the workers were closed while the call ran: close them after their calls"));
    await this.#pool.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens workers on this machine: threads with devices of their own (web workers in browsers and Deno, processes in Node), and
 * devices of this thread.
 *
 * @throws PushforwardError `invalid-argument`; that of a device which cannot be opened; `unsupported` when a thread cannot be started.
 * @example
 * import { readFile } from "node:fs/promises";
 * import { openWorkers } from "pushforward/workers";
 * const workers = await openWorkers({ workers: 2 });
 * const file = new Uint8Array(await readFile("flow.safetensors"));
 * for await (const { start, x } of workers.sampleStream(file, 100_000, { seed: 1 })) console.log(start, x.length);
 * await workers.close();
 */
export function openWorkers(options: WorkersOptions): Promise<Workers> {
  return Workers.open(options);
}
