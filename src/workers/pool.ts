import { PushforwardError } from "../errors.ts";
import type { Compiling } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import type { Arrays } from "../spread/parcel.ts";
import {
  attempts,
  describeRange,
  type Failure,
  type FinishedRange,
  failureOfRange,
  type RangeTask,
} from "../spread/range-task.ts";
import type { RangeWorker } from "./range-worker.ts";

/** A range on its way to a worker. */
interface Errand {
  readonly flow: CarriedFlow;
  readonly task: RangeTask;
  readonly input: () => Arrays;
  /** Aborted when the call is over. */
  readonly signal: AbortSignal;
  /** Hears what a worker waits for, and when it no longer does. */
  readonly waits: (worker: string, compiling: Compiling | undefined) => void;
  readonly resolve: (range: FinishedRange) => void;
  readonly reject: (reason: unknown) => void;
  tries: number;
}

/**
 * Workers, and the ranges that wait for one; who asked first is served first. A range whose worker goes, or fails at something that
 * another attempt may mend, is the next to be given out.
 */
export class Pool {
  readonly #workers: Set<RangeWorker>;
  /** Those without a range; who has waited longest is at the beginning. */
  readonly #idle: Set<RangeWorker>;
  readonly #waiting: Errand[] = [];
  readonly #running = new Map<RangeWorker, Errand>();
  readonly #gone: string[] = [];
  readonly #onNotice: (text: string) => void;
  #isClosed = false;

  constructor(workers: readonly RangeWorker[], onNotice: (text: string) => void) {
    this.#workers = new Set(workers);
    this.#idle = new Set(workers);
    this.#onNotice = onNotice;
    for (const worker of workers) worker.gone.then((why) => this.#drop(worker, why));
  }

  /** Those that take ranges. */
  get workers(): readonly RangeWorker[] {
    return [...this.#workers];
  }

  /** Settles when the range is done, has failed for good, or was recalled and no worker is at it any more. */
  solve(errand: Pick<Errand, "flow" | "task" | "input" | "signal" | "waits">): Promise<FinishedRange> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...errand, resolve, reject, tries: 0 });
      this.#giveOut();
    });
  }

  /** Takes back the ranges of a call whose signal has been aborted: those that wait at once, those in work within a dispatch. */
  recall(signal: AbortSignal): void {
    const isOfCall = (errand: Errand) => errand.signal === signal;
    const recalled = this.#waiting.filter(isOfCall);
    const others = this.#waiting.filter((errand) => !isOfCall(errand));
    this.#waiting.splice(0, this.#waiting.length, ...others);
    for (const errand of recalled) errand.reject(signal.reason);
    for (const [worker, errand] of this.#running) if (isOfCall(errand)) worker.abort();
  }

  /** Says why nobody takes ranges any more, and closes the workers; what runs should have been recalled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#workers];
    this.#idle.clear();
    await Promise.all(all.map((worker) => worker.close()));
    this.#workers.clear();
    this.#giveOut();
  }

  #giveOut(): void {
    for (const errand of this.#workers.size === 0 ? this.#waiting.splice(0) : []) errand.reject(this.#nobody());
    for (const worker of [...this.#idle]) {
      const errand = this.#waiting.shift();
      if (!errand) return;
      this.#idle.delete(worker);
      void this.#run(worker, errand);
    }
  }

  #nobody(): PushforwardError {
    return new PushforwardError(
      "device-lost",
      `no worker is left: ${this.#gone.join(", ") || "all were closed"}; open new ones with openWorkers()`,
    );
  }

  async #run(worker: RangeWorker, errand: Errand): Promise<void> {
    const { flow, task, input, signal } = errand;
    const { start, count } = task;
    const { name } = worker;
    try {
      this.#running.set(worker, errand);
      const outcome = await worker.solve(flow, task, input(), (compiling) => errand.waits(name, compiling));
      errand.waits(name, undefined);
      if (outcome.kind === "done") errand.resolve({ ...outcome, start, count, worker: name });
      else if (signal.aborted) errand.reject(signal.reason);
      else if (outcome.kind === "failed") this.#retry(errand, outcome.failure);
      else {
        const message = `worker ${name} ${outcome.why} in the middle of it: see what ends it (memory, a driver that crashes), or pass a smaller rangeSize`;
        this.#retry(errand, { code: "device-lost", message, isFinal: false });
        this.#drop(worker, outcome.why);
      }
    } catch (error) {
      errand.reject(error);
    }
    this.#running.delete(worker);
    if (this.#workers.has(worker)) this.#idle.add(worker);
    this.#giveOut();
  }

  /** Gives a range back, or gives it up; another worker that has nothing to do takes it at once. */
  #retry(errand: Errand, failure: Failure): void {
    errand.tries++;
    if (failure.isFinal || errand.tries >= attempts) {
      errand.reject(failureOfRange(errand.task, failure));
      return;
    }
    this.#waiting.unshift(errand);
    if (this.#idle.size > 0) this.#giveOut();
  }

  #drop(worker: RangeWorker, why: string): void {
    if (this.#isClosed || !this.#workers.delete(worker)) return;
    this.#idle.delete(worker);
    this.#gone.push(`${worker.name} ${why}`);
    const left = this.#workers.size;
    const rest = left === 0 ? "none is left" : `${left} ${left === 1 ? "is" : "are"} left`;
    const errand = this.#running.get(worker);
    const where = errand ? ` in the middle of ${describeRange(errand.task)}` : "";
    this.#onNotice(`worker ${worker.name} ${why}${where}; ${rest}`);
    void worker.close();
    this.#giveOut();
  }
}
