import { countTurns } from "#provider";
import { DeviceQueue, secondsPerSubmit, secondsShared, speedsOf, type Work } from "./queue.ts";

/** Work that is queued ahead of the device: it stays busy without anybody asking. */
const secondsQueued = 4 * secondsPerSubmit;

/** Turns of the event loop within which a device answers that has nothing more to do. */
const turnsOfAnswer = 4;

/** The queue where waiting for the device costs a core (Node): more work is queued, and most of it is slept over before it is asked for. */
export class SleepingQueue extends DeviceQueue {
  #syncing: Promise<void> | undefined;

  protected override track(work: Work): Work {
    return work;
  }

  override async finished(work: Work): Promise<void> {
    while (this.inFlight.has(work)) await this.#sync();
  }

  protected override hasRoom(): boolean {
    return this.queued() < (this.lanes.size > 1 ? secondsShared : secondsQueued);
  }

  protected override hold(): void {
    this.#sync();
  }

  /** Sleeps over all that is in flight, then asks for its end: one for all who wait. */
  #sync(): Promise<void> {
    this.#syncing ??= this.#sleepAndAsk().finally(() => {
      this.#syncing = undefined;
      this.serve();
    });
    return this.#syncing;
  }

  async #sleepAndAsk(): Promise<void> {
    if (this.inFlight.size === 0) return;
    const slept = await this.#sleepUntil(this.expectedDone);
    const works = [...this.inFlight];
    const turns = countTurns();
    // a lost device ends its work too
    const hasEnded = await this.device.queue.onSubmittedWorkDone().then(
      () => true,
      () => false,
    );
    const waited = turns();
    this.#noteEnd(works, slept ? waited : Infinity, hasEnded);
  }

  override async answer<T>(work: Work, ask: () => Promise<T>): Promise<T> {
    const slept = await this.#sleepUntil(work.expectedDone);
    const turns = countTurns();
    let waited = Infinity;
    const answer = await ask().finally(() => {
      waited = turns();
    });
    const works = [...this.inFlight];
    this.#noteEnd(works.slice(0, works.indexOf(work) + 1), slept ? waited : Infinity, true);
    this.serve();
    return answer;
  }

  /** Sleeps for most of the time until then, if it can be told from what has been measured. True when it slept. */
  async #sleepUntil(then: number): Promise<boolean> {
    for (const { speed } of this.inFlight) if (!speed.isMeasured) return false;
    return sleepUntil(then);
  }

  /**
   * Takes note of submits that have ended; `waited` is for how many turns of the event loop they were waited for after a sleep. Not
   * for how long: a turn that copies a chunk takes milliseconds, and would pass for a device that is still at work.
   */
  #noteEnd(works: readonly Work[], waited: number, isMeasurable: boolean): void {
    // Done before it was asked for: it slept too long, and its own sleep is all that could be measured.
    const isLate = waited <= turnsOfAnswer;
    if (isLate) for (const speed of speedsOf(works)) speed.flops *= 1.25;
    this.ended(works, isMeasurable && !isLate);
  }
}

/** Sleeps for most of the time until then. True when it slept. */
export async function sleepUntil(then: number): Promise<boolean> {
  const milliseconds = then - performance.now();
  // timers are no finer than that
  if (milliseconds < 4) return false;
  await new Promise<void>((resolve) => setTimeout(resolve, 0.85 * milliseconds));
  return true;
}
