import { countTurns, waitingSpins } from "#provider";
import type { Session } from "../gpu/session.ts";
import type { Speed } from "./speed.ts";

/** No dispatch and no submit should take longer than this, so that pages stay responsive and no watchdog fires. */
export const secondsPerSubmit = 0.05;

/**
 * Work that is queued ahead of the device. Where waiting is free, one submit runs and one waits. Where it costs a core (Node),
 * more is queued and slept over: the device stays busy without anybody asking.
 */
const secondsQueued = waitingSpins ? 4 * secondsPerSubmit : 2 * secondsPerSubmit;

/** As much where several calls are at work: what is queued when one comes back from reading a result, it has to wait for. */
const secondsShared = 2 * secondsPerSubmit;

/** Turns of the event loop within which a device answers that has nothing more to do. */
const turnsOfAnswer = 4;

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
  /** A kernel runs for the first time, so that its time may hold its compilation. */
  readonly fresh: boolean;
  /** When it should be done, by the speed measured so far. */
  readonly expectedDone: number;
  readonly done?: Promise<void>;
}

interface Waiting {
  readonly lane: Lane;
  readonly grant: () => void;
}

/**
 * The turns of all running calls on one device. At most {@link secondsQueued} of work is in flight; the next submit is that of the
 * call which has had the least device time (start-time fair queueing; Goyal, Vin & Cheng 1996), so a page can train and sample at
 * once and neither starves. It also measures the speed of what runs.
 */
export class DeviceQueue {
  readonly #session: Session;
  readonly #device: GPUDevice;
  readonly #inFlight = new Set<Work>();
  readonly #waiting: Waiting[] = [];
  /** Those at work: each has asked for a turn and has not left. */
  readonly #lanes = new Set<Lane>();
  /** The lane that has the turn and has not submitted yet. */
  #turn: Lane | undefined;
  /** Device time of the lane that was served last, or of one before it that had had more. */
  #served = 0;
  /** When what is in flight began to run. */
  #busySince = 0;
  #expectedDone = 0;
  #syncing: Promise<void> | undefined;

  constructor(session: Session) {
    this.#session = session;
    this.#device = session.device;
  }

  /** Resolves when the lane may submit once; it then calls {@link submitted}, or {@link leave}. */
  turn(lane: Lane): Promise<void> {
    const makesUp = this.#lanes.has(lane) ? secondsShared : 0;
    if (lane.running === 0) lane.used = Math.max(lane.used, this.#served - makesUp);
    this.#lanes.add(lane);
    return new Promise((grant) => {
      this.#waiting.push({ lane, grant });
      this.#serve();
    });
  }

  /** Gives up the lane's turn or its place in the line. */
  leave(lane: Lane): void {
    this.#lanes.delete(lane);
    const place = this.#waiting.findIndex((waiting) => waiting.lane === lane);
    if (place >= 0) this.#waiting.splice(place, 1);
    if (this.#turn === lane) this.#turn = undefined;
    this.#serve();
  }

  /** Notes what the lane that has the turn has just submitted. */
  submitted(lane: Lane, flops: number, speed: Speed, fresh: boolean): Work {
    const now = performance.now();
    if (this.#inFlight.size === 0) this.#busySince = now;
    const seconds = flops / speed.flops;
    this.#expectedDone = Math.max(now, this.#expectedDone) + 1000 * seconds;
    const work = { lane, flops, speed, fresh, expectedDone: this.#expectedDone };
    lane.used += seconds;
    lane.running++;
    this.#turn = undefined;
    const tracked: Work = waitingSpins ? work : { ...work, done: this.#follow(() => tracked) };
    this.#inFlight.add(tracked);
    this.#serve();
    return tracked;
  }

  /** Waits for the end of a submit. */
  async finished(work: Work): Promise<void> {
    if (work.done) return work.done;
    while (this.#inFlight.has(work)) await this.#sync();
  }

  async #follow(work: () => Work): Promise<void> {
    // a lost device ends its work too
    const ended = await this.#device.queue.onSubmittedWorkDone().then(
      () => true,
      () => false,
    );
    if (ended) this.#measure([work()]);
    this.#busySince = performance.now();
    this.#end(work());
  }

  #end(work: Work): void {
    if (!this.#inFlight.delete(work)) return;
    work.lane.running--;
    this.#serve();
  }

  #serve(): void {
    if (this.#turn || this.#waiting.length === 0) return;
    const next = this.#waiting.reduce((a, b) => (b.lane.used < a.lane.used ? b : a));
    if (!this.#hasRoom() || this.#isAhead(next.lane)) {
      // elsewhere every submit tells its end by itself
      if (waitingSpins) this.#sync();
      return;
    }
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    this.#turn = next.lane;
    this.#served = Math.max(this.#served, next.lane.used);
    next.grant();
  }

  /** Whether a lane that is at work has had so much less that it is worth waiting until it asks, while the device is busy. */
  #isAhead(lane: Lane): boolean {
    for (const { lane: other } of this.#inFlight)
      if (other.used + secondsPerSubmit < lane.used && this.#queued() > secondsPerSubmit / 10) return true;
    return false;
  }

  #queued(): number {
    let seconds = 0;
    for (const { flops, speed } of this.#inFlight) seconds += flops / speed.flops;
    return seconds;
  }

  #hasRoom(): boolean {
    if (waitingSpins) return this.#queued() < (this.#lanes.size > 1 ? secondsShared : secondsQueued);
    return this.#inFlight.size < 2 || this.#queued() < secondsQueued - secondsPerSubmit;
  }

  /** Sleeps over all that is in flight, then asks for its end: one for all who wait. */
  #sync(): Promise<void> {
    this.#syncing ??= this.#sleepAndAsk().finally(() => {
      this.#syncing = undefined;
      this.#serve();
    });
    return this.#syncing;
  }

  async #sleepAndAsk(): Promise<void> {
    if (this.#inFlight.size === 0) return;
    const slept = await this.#sleepUntil(this.#expectedDone);
    const works = [...this.#inFlight];
    const turns = countTurns();
    const ended = await this.#device.queue.onSubmittedWorkDone().then(
      () => true,
      () => false,
    );
    const waited = turns();
    this.#ended(works, slept ? waited : Infinity, ended);
  }

  /** Waits for an answer that the device gives when a submit has ended, such as the copy at its end, and notes that it has. */
  async answer<T>(work: Work, ask: () => Promise<T>): Promise<T> {
    if (work.done) return ask();
    const slept = await this.#sleepUntil(work.expectedDone);
    const turns = countTurns();
    let waited = Infinity;
    const answer = await ask().finally(() => {
      waited = turns();
    });
    const works = [...this.#inFlight];
    this.#ended(works.slice(0, works.indexOf(work) + 1), slept ? waited : Infinity, true);
    this.#serve();
    return answer;
  }

  /** Sleeps for most of the time until then, if it can be told from what has been measured. True when it slept. */
  async #sleepUntil(then: number): Promise<boolean> {
    for (const { speed } of this.#inFlight) if (!speed.isMeasured) return false;
    return sleepUntil(then);
  }

  /**
   * Takes the submits out that have ended; `waited` is for how many turns of the event loop they were waited for after a sleep. Not
   * for how long: a turn that copies a chunk takes milliseconds, and would pass for a device that is still at work.
   */
  #ended(works: readonly Work[], waited: number, isMeasurable: boolean): void {
    // Done before it was asked for: it slept too long, and its own sleep is all that could be measured.
    if (waited <= turnsOfAnswer) for (const speed of speedsOf(works)) speed.flops *= 1.25;
    else if (isMeasurable) this.#measure(works);
    for (const work of works) {
      if (this.#inFlight.delete(work)) work.lane.running--;
    }
    this.#busySince = performance.now();
    this.#expectedDone = this.#busySince + 1000 * this.#queued();
  }

  /** Takes note of work that has just ended and ran since `busySince`. */
  #measure(works: readonly Work[]): void {
    const seconds = (performance.now() - this.#busySince) / 1000;
    const flops = works.reduce((sum, work) => sum + work.flops, 0);
    // The first run of a kernel may hold its compilation, and very short work measures the round trip.
    if (works.some(({ fresh }) => fresh) || flops < 1e6 || seconds < 0.002) return;
    const expected = works.reduce((sum, work) => sum + work.flops / work.speed.flops, 0);
    const change = expected / seconds;
    for (const speed of speedsOf(works)) {
      // a guess may be far off, what was measured changes little by little
      speed.flops *= speed.isMeasured ? Math.min(4, Math.max(0.5, change)) ** 0.5 : Math.min(32, Math.max(0.1, change));
      speed.isMeasured = true;
      this.#session.profile.speed = speed.flops;
    }
  }
}

const speedsOf = (works: readonly Work[]) => new Set(works.map(({ speed }) => speed));

/** Sleeps for most of the time until then. True when it slept. */
export async function sleepUntil(then: number): Promise<boolean> {
  const milliseconds = then - performance.now();
  // timers are no finer than that
  if (milliseconds < 4) return false;
  await new Promise<void>((resolve) => setTimeout(resolve, 0.85 * milliseconds));
  return true;
}

const queues = new WeakMap<GPUDevice, DeviceQueue>();

/** The queue that all calls on a device share. */
export function queueOf(session: Session): DeviceQueue {
  let queue = queues.get(session.device);
  if (!queue) {
    queue = new DeviceQueue(session);
    queues.set(session.device, queue);
  }
  return queue;
}
