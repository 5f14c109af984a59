import { waitingSpins } from "#provider";
import { type Arena, checked } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch } from "../gpu/kernel.ts";

/** No dispatch and no submit should take longer than this, so that pages stay responsive and no watchdog fires. */
const secondsPerSubmit = 0.05;

/**
 * Work that is queued ahead of the device. Where waiting is free, one submit runs and one waits. Where it costs a core (Node),
 * more is queued and slept over: the device stays busy without anybody asking.
 */
const secondsQueued = waitingSpins ? 4 * secondsPerSubmit : 2 * secondsPerSubmit;

/** Dispatches in one submit: encoding more of them takes longer than a device needs to run dry. */
const dispatchesPerSubmit = 256;

/** The most work that one dispatch should hold at the speed measured so far. */
export function flopsPerDispatch(gpu: Gpu): number {
  return gpu.speed * secondsPerSubmit;
}

interface Submitted {
  readonly flops: number;
  readonly done: Promise<void> | undefined;
}

/**
 * Submits dispatches in short batches with a bounded amount of work in flight, and measures the device's speed while it does so.
 * One per running call.
 */
export class Pacer {
  readonly #gpu: Gpu;
  readonly #signal: AbortSignal | undefined;
  readonly #inFlight: Submitted[] = [];
  /** Rejects when the device is lost or the call is aborted. */
  readonly #stopped: Promise<never>;
  /** When what is in flight began to run, and whether a kernel among it ran for the first time. */
  #busySince = 0;
  #fresh = false;
  /** When all that was submitted should be done, by the speed measured so far. */
  #expectedDone = 0;
  #fault: unknown;

  constructor(gpu: Gpu, signal: AbortSignal | undefined) {
    this.#gpu = gpu;
    this.#signal = signal;
    const lost = gpu.lost.then(() => {
      throw gpu.lostError();
    });
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    this.#stopped = Promise.race([lost, aborted]);
    this.#stopped.catch(() => undefined);
  }

  /** Throws what has gone wrong so far: the abort, the loss of the device, a validation error. */
  check(): void {
    this.#signal?.throwIfAborted();
    if (this.#fault !== undefined) throw this.#fault;
    this.#gpu.assertUsable();
  }

  /** Encodes and submits the dispatches, cut into submits; `last` adds copies to the last of them. */
  async submit(
    arena: Arena,
    label: string,
    dispatches: readonly Dispatch[],
    last?: (encoder: GPUCommandEncoder) => void,
  ): Promise<void> {
    for (let start = 0, more = dispatches.length > 0 || last !== undefined; more; ) {
      const limit = flopsPerDispatch(this.#gpu);
      let end = start;
      let flops = 0;
      while (end < dispatches.length && end - start < dispatchesPerSubmit) {
        const next = dispatches[end]?.flops ?? 0;
        if (end > start && flops + next > limit) break;
        flops += next;
        end++;
      }
      const batch = dispatches.slice(start, end);
      more = end < dispatches.length;
      await this.#room();
      this.check();
      const { pipelines, fresh } = await arena.prepare(batch);
      this.check();
      const { device } = this.#gpu;
      checked(this.#gpu, label, () => {
        const encoder = device.createCommandEncoder({ label });
        arena.encode(encoder, batch, pipelines);
        if (!more) last?.(encoder);
        device.queue.submit([encoder.finish()]);
      }).catch((error: unknown) => {
        this.#fault ??= error;
      });
      this.#follow(flops, fresh);
      start = end;
    }
  }

  /** Waits for everything that was submitted. */
  async drain(): Promise<void> {
    if (waitingSpins) await this.#sync();
    while (this.#inFlight.length > 0) await this.#oldest();
    this.check();
  }

  /** Sleeps until what was submitted should be nearly done, where asking the device costs a core. True when it slept. */
  async rest(): Promise<boolean> {
    if (!waitingSpins) return false;
    const milliseconds = this.#expectedDone - performance.now();
    // timers are no finer than that
    if (milliseconds < 4) return false;
    await this.race(new Promise<void>((resolve) => setTimeout(resolve, 0.85 * milliseconds)));
    return true;
  }

  /** A promise of the device, or the abort or loss that comes before it. */
  race<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return Promise.race([promise, this.#stopped]);
  }

  #follow(flops: number, fresh: boolean): void {
    const now = performance.now();
    if (this.#inFlight.length === 0) this.#busySince = now;
    this.#expectedDone = Math.max(now, this.#expectedDone) + (flops / this.#gpu.speed) * 1000;
    if (waitingSpins) {
      this.#fresh ||= fresh;
      this.#inFlight.push({ flops, done: undefined });
      return;
    }
    const done = this.#gpu.device.queue.onSubmittedWorkDone().then(() => {
      this.#measure(flops, fresh);
      this.#busySince = performance.now();
    });
    done.catch(() => undefined);
    this.#inFlight.push({ flops, done });
  }

  /** Takes note of work that has just ended and ran since `busySince`. */
  #measure(flops: number, fresh: boolean): void {
    const seconds = (performance.now() - this.#busySince) / 1000;
    // The first run of a kernel may hold its compilation, and very short work measures the round trip.
    if (fresh || flops < 1e6 || seconds < 0.002) return;
    const change = Math.min(4, Math.max(0.5, flops / seconds / this.#gpu.speed));
    this.#gpu.speed *= change ** 0.5;
  }

  /** Waits until there is room for another submit. */
  async #room(): Promise<void> {
    const queued = () => this.#inFlight.reduce((sum, { flops }) => sum + flops, 0) / this.#gpu.speed;
    if (waitingSpins) {
      if (queued() >= secondsQueued) await this.#sync();
      return;
    }
    while (this.#inFlight.length >= 2 && queued() >= secondsQueued - secondsPerSubmit) await this.#oldest();
  }

  async #oldest(): Promise<void> {
    const oldest = this.#inFlight.shift();
    if (oldest?.done) await this.race(oldest.done);
  }

  /** Sleeps over all that is in flight, then asks for its end. */
  async #sync(): Promise<void> {
    if (this.#inFlight.length === 0) return;
    const slept = await this.rest();
    const flops = this.#inFlight.reduce((sum, submitted) => sum + submitted.flops, 0);
    const asked = performance.now();
    await this.race(this.#gpu.device.queue.onSubmittedWorkDone());
    // Done before it was asked for: it slept too long, and its own sleep is all that could be measured.
    if (slept && performance.now() - asked < 1.5) this.#gpu.speed *= 1.25;
    else this.#measure(flops, this.#fresh);
    this.#inFlight.length = 0;
    this.#fresh = false;
    this.#expectedDone = performance.now();
  }
}
