import type { Pipeline } from "../gpu/pipelines.ts";
import type { Session } from "../gpu/session.ts";
import type { Speed } from "./speed.ts";

/** No dispatch and no submit should take longer than this, so that pages stay responsive and no watchdog fires. */
export const secondsPerSubmit = 0.05;

/** Work that is queued where several calls are at work: when one comes back from reading a result, it has to wait for that. */
export const secondsShared = 2 * secondsPerSubmit;

/** One running call, as the queue sees it. */
export interface Lane {
  /**
   * Device time that it has had, in seconds. A new lane starts with that of the last one served; one that comes back from a pause,
   * such as a training from reading its loss, makes up for {@link secondsShared} of it at most.
   */
  used: number;
  /** Its submits that have not ended. */
  running: number;
}

/** One submit. */
export interface Work {
  readonly lane: Lane;
  readonly flops: number;
  readonly speed: Speed;
  /** Kernels that run for the first time, so that its time may hold their compilation. */
  readonly fresh: readonly Pipeline[];
  /** When it should be done, by the speed measured so far. */
  readonly expectedDone: number;
  readonly done?: Promise<void>;
}

interface Waiting {
  readonly lane: Lane;
  readonly grant: () => void;
}

/**
 * The turns of all running calls on one device. While one submit runs, one waits; the next one is that of the
 * call which has had the least device time (start-time fair queueing; Goyal, Vin & Cheng 1996), so a page can train and sample at
 * once and neither starves. It also measures the speed of what runs.
 */
export class DeviceQueue {
  protected readonly device: GPUDevice;
  protected readonly inFlight = new Set<Work>();
  /** Those at work: each has asked for a turn and has not left. */
  protected readonly lanes = new Set<Lane>();
  /** When all that is in flight should be done. */
  protected expectedDone = 0;
  readonly #session: Session;
  readonly #waiting: Waiting[] = [];
  /** The lane that has the turn and has not submitted yet. */
  #turn: Lane | undefined;
  /** Device time of the lane that was served last, or of one before it that had had more. */
  #served = 0;
  /** When what is in flight began to run. */
  #busySince = 0;

  constructor(session: Session) {
    this.#session = session;
    this.device = session.device;
  }

  /** Resolves when the lane may submit once; it then calls {@link submitted}, or {@link leave}. */
  turn(lane: Lane): Promise<void> {
    const makesUp = this.lanes.has(lane) ? secondsShared : 0;
    if (lane.running === 0) lane.used = Math.max(lane.used, this.#served - makesUp);
    this.lanes.add(lane);
    return new Promise((grant) => {
      this.#waiting.push({ lane, grant });
      this.serve();
    });
  }

  /** Gives up the lane's turn or its place in the line. */
  leave(lane: Lane): void {
    this.lanes.delete(lane);
    const place = this.#waiting.findIndex((waiting) => waiting.lane === lane);
    if (place >= 0) this.#waiting.splice(place, 1);
    if (this.#turn === lane) this.#turn = undefined;
    this.serve();
  }

  /** Notes what the lane that has the turn has just submitted. */
  submitted(lane: Lane, flops: number, speed: Speed, fresh: readonly Pipeline[]): Work {
    const now = performance.now();
    if (this.inFlight.size === 0) this.#busySince = now;
    const seconds = flops / speed.flops;
    this.expectedDone = Math.max(now, this.expectedDone) + 1000 * seconds;
    const work = { lane, flops, speed, fresh, expectedDone: this.expectedDone };
    lane.used += seconds;
    lane.running++;
    this.#turn = undefined;
    const tracked = this.track(work);
    this.inFlight.add(tracked);
    this.serve();
    return tracked;
  }

  /** Sees to it that the end of a submit is heard of. */
  protected track(work: Work): Work {
    const tracked: Work = { ...work, done: this.#follow(() => tracked) };
    return tracked;
  }

  /** Waits for the end of a submit. */
  finished(work: Work): Promise<void> {
    return work.done ?? Promise.resolve();
  }

  /** Waits for an answer that the device gives when a submit has ended, such as the copy at its end. */
  answer<T>(_work: Work, ask: () => Promise<T>): Promise<T> {
    return ask();
  }

  /** As {@link answer}, of a result whose call goes on meanwhile. */
  readBack<T>(_work: Work, ask: () => Promise<T>): Promise<T> {
    return ask();
  }

  async #follow(work: () => Work): Promise<void> {
    // a lost device ends its work too
    const ended = await this.device.queue.onSubmittedWorkDone().then(
      () => true,
      () => false,
    );
    this.ended([work()], ended);
    this.serve();
  }

  protected serve(): void {
    if (this.#turn || this.#waiting.length === 0) return;
    const next = this.#waiting.reduce((a, b) => (b.lane.used < a.lane.used ? b : a));
    if (!this.hasRoom() || this.#isAhead(next.lane)) {
      this.hold();
      return;
    }
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    this.#turn = next.lane;
    this.#served = Math.max(this.#served, next.lane.used);
    next.grant();
  }

  /** Whether a lane that is at work has had so much less that it is worth waiting until it asks, while the device is busy. */
  #isAhead(lane: Lane): boolean {
    for (const { lane: other } of this.inFlight)
      if (other.used + secondsPerSubmit < lane.used && this.remaining() > secondsPerSubmit / 10) return true;
    return false;
  }

  /** Seconds of work that was submitted and of whose end was not heard. */
  protected queued(): number {
    let seconds = 0;
    for (const { flops, speed } of this.inFlight) seconds += flops / speed.flops;
    return seconds;
  }

  /** Seconds until the device has nothing more to do, as far as can be told. */
  protected remaining(): number {
    return this.queued();
  }

  /** Whether the device can be given more. */
  protected hasRoom(): boolean {
    return this.inFlight.size < 2 || this.queued() < secondsShared - secondsPerSubmit;
  }

  /** Somebody waits although nothing can be submitted now: what is in flight is to be heard of, and every submit tells its end. */
  protected hold(): void {}

  /** Takes the submits out that have ended just now; `isMeasurable` when their end was noticed when it came. */
  protected ended(works: readonly Work[], isMeasurable: boolean): void {
    // on a lost device everything ends at once
    if (isMeasurable && !this.#session.isLost) this.#measure(works);
    for (const work of works) {
      if (this.inFlight.delete(work)) work.lane.running--;
      for (const pipeline of work.fresh) pipeline.isReady = true;
    }
    this.#busySince = performance.now();
    this.expectedDone = this.#busySince + 1000 * this.queued();
  }

  /** Takes note of work that has just ended and ran since `busySince`. */
  #measure(works: readonly Work[]): void {
    const seconds = (performance.now() - this.#busySince) / 1000;
    const flops = works.reduce((sum, work) => sum + work.flops, 0);
    // the first run of a kernel may hold its compilation
    if (works.some(({ fresh }) => fresh.length > 0) || flops < 1e6) return;
    const expected = works.reduce((sum, work) => sum + work.flops / work.speed.flops, 0);
    // very short work measures the round trip: the device is that fast at least
    const isBound = seconds < shortest;
    const change = expected / Math.max(shortest, seconds);
    if (isBound && change <= 1) return;
    for (const speed of speedsOf(works)) {
      // a guess may be a hundredth of what a fast card does; what was measured changes little by little
      speed.flops *= speed.isMeasured
        ? Math.min(4, Math.max(0.5, change)) ** 0.5
        : Math.min(128, Math.max(0.1, change));
      speed.isMeasured ||= !isBound;
      this.#session.profile.speed = speed.flops;
    }
  }
}

/** Seconds of work that tell a speed. */
const shortest = 0.002;

export const speedsOf = (works: readonly Work[]) => new Set(works.map(({ speed }) => speed));
