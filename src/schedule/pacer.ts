import { waitingSpins } from "#provider";
import { type Arena, checked } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch } from "../gpu/kernel.ts";

/** No dispatch and no submit should take longer than this, so that pages stay responsive and no watchdog fires. */
const secondsPerSubmit = 0.05;

/** Submits in flight: one runs, one waits. More would only delay an abort. */
const depth = 2;

/** The most work that one dispatch should hold at the speed measured so far. */
export function flopsPerDispatch(gpu: Gpu): number {
  return gpu.speed * secondsPerSubmit;
}

interface InFlight {
  readonly done: Promise<void>;
  readonly expectedMs: number;
}

/**
 * Submits dispatches in short batches with a bounded number in flight, and measures the device's speed while it does so.
 * One per running call.
 */
export class Pacer {
  readonly #gpu: Gpu;
  readonly #signal: AbortSignal | undefined;
  readonly #inFlight: InFlight[] = [];
  readonly #lost: Promise<never>;
  #lastDone = 0;
  #fault: unknown;

  constructor(gpu: Gpu, signal: AbortSignal | undefined) {
    this.#gpu = gpu;
    this.#signal = signal;
    this.#lost = gpu.lost.then(() => {
      throw gpu.lostError();
    });
    this.#lost.catch(() => undefined);
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
    let start = 0;
    while (start < dispatches.length || last) {
      const limit = flopsPerDispatch(this.#gpu);
      let end = start;
      let flops = 0;
      while (end < dispatches.length && end - start < 256) {
        const next = dispatches[end]?.flops ?? 0;
        if (end > start && flops + next > limit) break;
        flops += next;
        end++;
      }
      const batch = dispatches.slice(start, end);
      const finishing = end >= dispatches.length ? last : undefined;
      await this.#room();
      this.check();
      const { pipelines, fresh } = await arena.prepare(batch);
      this.check();
      const { device } = this.#gpu;
      const submitted = performance.now();
      checked(this.#gpu, label, () => {
        const encoder = device.createCommandEncoder({ label });
        arena.encode(encoder, batch, pipelines);
        finishing?.(encoder);
        device.queue.submit([encoder.finish()]);
      }).catch((error: unknown) => {
        this.#fault ??= error;
      });
      this.#follow(submitted, flops, fresh);
      start = end;
      if (finishing) return;
      if (end >= dispatches.length && !last) return;
    }
  }

  /** Waits for everything that was submitted. */
  async drain(): Promise<void> {
    while (this.#inFlight.length > 0) await this.#oldest();
    this.check();
  }

  /** Waits for a promise of the device, or for its loss; in Node it first sleeps half of the expected time, because waiting costs a core there. */
  async wait<T>(promise: Promise<T>, expectedMs: number): Promise<T> {
    promise.catch(() => undefined);
    if (waitingSpins && expectedMs > 4) await new Promise((resolve) => setTimeout(resolve, expectedMs / 2));
    return Promise.race([promise, this.#lost]);
  }

  #follow(submitted: number, flops: number, fresh: boolean): void {
    const expectedMs = (flops / this.#gpu.speed) * 1000;
    const done = this.#gpu.device.queue.onSubmittedWorkDone().then(() => {
      const now = performance.now();
      const busyFrom = Math.max(submitted, this.#lastDone);
      this.#lastDone = now;
      const seconds = (now - busyFrom) / 1000;
      // The first run of a kernel may hold its compilation, and very short work measures the round trip.
      if (fresh || flops < 1e6 || seconds < 0.002) return;
      const measured = flops / seconds;
      const change = Math.min(4, Math.max(0.5, measured / this.#gpu.speed));
      this.#gpu.speed *= change ** 0.5;
    });
    done.catch(() => undefined);
    this.#inFlight.push({ done, expectedMs });
  }

  async #room(): Promise<void> {
    while (this.#inFlight.length >= depth) await this.#oldest();
  }

  async #oldest(): Promise<void> {
    const oldest = this.#inFlight.shift();
    if (oldest) await this.wait(oldest.done, oldest.expectedMs);
  }
}
