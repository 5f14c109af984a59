import { countTurns, patiently } from "#provider";
import { DeviceQueue, secondsPerSubmit, secondsShared, speedsOf, type Work } from "./queue.ts";

/** Work that is queued ahead of the device: it stays busy without anybody asking. */
const secondsQueued = 4 * secondsPerSubmit;

/**
 * Work of whose end was not heard, at most. Beyond {@link secondsQueued} it is done by what has been measured: a stream gives the
 * device more by the clock, and hears of the end with each chunk that it reads back.
 */
const secondsUnheard = 0.8;

/** How much of a time that is waited for is slept over: nearly all where other work follows, so that the device does not run dry. */
const shareOfSleep = { last: 0.85, followed: 0.97 };

/** Turns of the event loop within which a device answers that has nothing more to do. */
const turnsOfAnswer = 4;

/** The queue where waiting for the device costs a core (Node): more work is queued, and most of it is slept over before it is asked for. */
export class SleepingQueue extends DeviceQueue {
  #syncing: Promise<void> | undefined;
  #waking: Promise<void> | undefined;

  protected override track(work: Work): Work {
    return work;
  }

  override async finished(work: Work): Promise<void> {
    while (this.inFlight.has(work)) await this.#sync();
  }

  protected override remaining(): number {
    const queued = this.queued();
    return this.#isAlone() && this.#isMeasured()
      ? Math.min(queued, (this.expectedDone - performance.now()) / 1000)
      : queued;
  }

  protected override hasRoom(): boolean {
    if (!this.#isAlone()) return this.queued() < secondsShared;
    return this.queued() < secondsUnheard && this.remaining() < secondsQueued;
  }

  protected override hold(): void {
    const hasEnough = this.queued() < secondsUnheard && this.remaining() >= secondsQueued;
    if (hasEnough && this.#isAlone() && this.#isMeasured()) this.#waking ??= this.#wake();
    else this.#sync();
  }

  /** Sleeps until half of what is queued should be done, and then lets the call go on that waits. */
  async #wake(): Promise<void> {
    await sleepUntil(this.expectedDone - 500 * secondsQueued, 1);
    this.#waking = undefined;
    this.serve();
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
    const slept = await this.#sleepUntil(this.expectedDone, shareOfSleep.last);
    const works = [...this.inFlight];
    const turns = countTurns();
    // a lost device ends its work too
    const hasEnded = await patiently(this.device.queue.onSubmittedWorkDone()).then(
      () => true,
      () => false,
    );
    const waited = turns();
    this.#noteEnd(works, slept ? waited : Infinity, hasEnded);
  }

  /** What is read back while others are at work comes when this thread gets to it, which would pass for slow kernels. */
  override async readBack<T>(work: Work, ask: () => Promise<T>): Promise<T> {
    if (this.#isAlone()) return this.answer(work, ask);
    await sleepUntil(work.expectedDone, shareOfSleep.last);
    return patiently(ask());
  }

  override async answer<T>(work: Work, ask: () => Promise<T>): Promise<T> {
    const isFollowed = this.#isAlone() && [...this.inFlight].at(-1) !== work;
    const slept = await this.#sleepUntil(work.expectedDone, isFollowed ? shareOfSleep.followed : shareOfSleep.last);
    const turns = countTurns();
    let waited = Infinity;
    const answer = await patiently(ask()).finally(() => {
      waited = turns();
    });
    const works = [...this.inFlight];
    this.#noteEnd(works.slice(0, works.indexOf(work) + 1), slept ? waited : Infinity, true);
    this.serve();
    return answer;
  }

  /** Whether one call has the device for itself. Calls that share it take turns by what has ended for sure. */
  #isAlone(): boolean {
    return this.lanes.size < 2;
  }

  /** Whether it can be told from what has been measured when what is in flight will be done. */
  #isMeasured(): boolean {
    for (const { speed } of this.inFlight) if (!speed.isMeasured) return false;
    return true;
  }

  /** Sleeps for a share of the time until then, if that can be told. True when it slept. */
  async #sleepUntil(then: number, share: number): Promise<boolean> {
    return this.#isMeasured() && sleepUntil(then, share);
  }

  /**
   * Takes note of submits that have ended; `waited` is for how many turns of the event loop they were waited for after a sleep. Not
   * for how long: a turn that copies a chunk takes milliseconds, and would pass for a device that is still at work.
   */
  #noteEnd(works: readonly Work[], waited: number, isMeasurable: boolean): void {
    // Done before it was asked for: it slept too long, and its own sleep is all that could be measured.
    const isLate = waited <= turnsOfAnswer;
    const isFollowed = this.#isAlone() && this.inFlight.size > works.length;
    if (isLate) for (const speed of speedsOf(works)) speed.flops *= isFollowed ? 1.03 : 1.25;
    this.ended(works, isMeasurable && !isLate);
  }
}

/** Sleeps for a share of the time until then. True when it slept. */
export async function sleepUntil(then: number, share: number): Promise<boolean> {
  const milliseconds = then - performance.now();
  // timers are no finer than that
  if (milliseconds < 4) return false;
  await new Promise<void>((resolve) => setTimeout(resolve, share * milliseconds));
  return true;
}
