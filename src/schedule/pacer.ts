import { waitingBlocks, waitingSpins } from "#provider";
import { type Arena, validated } from "../gpu/arena.ts";
import type { Dispatch, Kernel } from "../gpu/kernel.ts";
import type { Compilation } from "../gpu/pipelines.ts";
import type { Session } from "../gpu/session.ts";
import { type DeviceQueue, type Lane, secondsPerSubmit, type Work } from "./queue.ts";
import { queueOf, sharesCores } from "./queue-of.ts";
import type { SignOfLife } from "./sign-of-life.ts";
import { sleepUntil } from "./sleeping-queue.ts";
import type { Speed } from "./speed.ts";
import { unless } from "./unless.ts";

/** Dispatches in one submit: encoding more of them takes longer than a device needs to run dry. */
export const dispatchesPerSubmit = 256;

/** What keeps the thread for longer than this leaves the event loop a turn. */
export const millisecondsPerTurn = 20;

export const nextTurn = () => new Promise<void>((resolve) => setTimeout(resolve));

/** The most work that one dispatch should hold at the speed measured so far. */
export function flopsPerDispatch(speed: Speed): number {
  return speed.flops * secondsPerSubmit;
}

/** Submits the dispatches of one running call in short batches, each when the call has its turn on the device. */
export class Pacer {
  readonly speed: Speed;
  readonly session: Session;
  readonly #queue: DeviceQueue;
  readonly #lane: Lane = { used: 0, running: 0 };
  readonly #signal: AbortSignal | undefined;
  readonly #sign: SignOfLife | undefined;
  /** Rejects when the device is lost, the call is aborted or has ended. */
  readonly #stopped: Promise<never>;
  readonly #onAbort: () => void;
  #stop: (reason: unknown) => void = () => undefined;
  #ended = false;
  #last: Work | undefined;
  #fault: unknown;

  /** To be {@link close closed} when the call ends. */
  constructor(session: Session, speed: Speed, signal: AbortSignal | undefined, sign?: SignOfLife) {
    this.session = session;
    this.speed = speed;
    this.#queue = queueOf(session);
    this.#signal = signal;
    this.#sign = sign;
    this.#stopped = new Promise<never>((_, reject) => {
      this.#stop = reject;
    });
    this.#stopped.catch(() => undefined);
    this.#onAbort = () => this.#stop(signal?.reason);
    signal?.addEventListener("abort", this.#onAbort);
    session.onLost.add(this.#onLost);
    if (sign) sign.onFault = (error) => this.#stop(error);
  }

  readonly #onLost = () => this.#stop(this.session.lostError());

  /** Ends the call: what still waits for its turn is told so, and nothing is kept on the signal or the device. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stop(new Error("this call has ended"));
    this.#queue.leave(this.#lane);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.session.onLost.delete(this.#onLost);
  }

  /** Throws what has gone wrong so far: the abort, the loss of the device, a validation error. */
  check(): void {
    this.#signal?.throwIfAborted();
    if (this.#fault !== undefined) throw this.#fault;
    this.#sign?.check();
    this.session.assertUsable();
    if (this.#ended) throw new Error("this call has ended");
  }

  /**
   * Has kernels compiled that the call will need: all are asked for at once, so that they are compiled side by side where the platform
   * can, and the call can tell how many they are.
   */
  async prepare(kernels: Iterable<Kernel>): Promise<void> {
    const { pipelines } = this.session;
    const missing = new Set<Kernel>();
    for (const kernel of kernels) if (!pipelines.compilation(kernel).pipeline?.isReady) missing.add(kernel);
    if (missing.size === 0) return;
    this.#sign?.expect(pipelines, missing);
    for (const kernel of missing) {
      this.#sign?.poll(waitingBlocks);
      const started = performance.now();
      // who submits it hears of a failure
      pipelines.compile(kernel).catch(() => undefined);
      if (performance.now() - started > millisecondsPerTurn) await this.race(nextTurn());
    }
    this.check();
  }

  /** Encodes and submits the dispatches, cut into submits; `last` adds copies to the last of them, which is what it gives. */
  async submit(
    arena: Arena,
    label: string,
    dispatches: readonly Dispatch[],
    last?: (encoder: GPUCommandEncoder) => void,
  ): Promise<Work | undefined> {
    const { pipelines: cache } = this.session;
    await this.prepare(dispatches.map(({ kernel }) => kernel));
    for (let start = 0, more = dispatches.length > 0 || last !== undefined; more; ) {
      const limit = flopsPerDispatch(this.speed);
      let end = start;
      let flops = 0;
      let first: Compilation | undefined;
      while (end < dispatches.length && end - start < dispatchesPerSubmit) {
        const next = dispatches[end];
        if (!next || (end > start && flops + next.flops > limit)) break;
        if (cache.compilesInFirstRun) {
          // A first run may take seconds: each has a submit for itself.
          const compilation = cache.compilation(next.kernel);
          const isFirst = compilation.pipeline?.fresh !== false;
          if (isFirst && first !== undefined && first !== compilation) break;
          if (isFirst) first = compilation;
        }
        flops += next.flops;
        end++;
      }
      const batch = dispatches.slice(start, end);
      more = end < dispatches.length;
      // Others may go on while a kernel of this call is compiled.
      if (!cache.compiled(batch)) await this.race(Promise.all(batch.map(({ kernel }) => cache.compile(kernel))));
      // Not raced: an abort is told when the buffer is there, and can be given back.
      if (!arena.hasRoom(batch.length)) await arena.makeRoom(batch.length);
      this.check();
      try {
        await this.race(this.#queue.turn(this.#lane));
        this.check();
        const { pipelines, fresh } = arena.prepared(batch) ?? (await this.race(arena.prepare(batch)));
        this.check();
        const { device } = this.session;
        validated(this.session, label, () => {
          const encoder = device.createCommandEncoder({ label });
          arena.encode(encoder, batch, pipelines);
          if (!more) last?.(encoder);
          device.queue.submit([encoder.finish()]);
        }).catch((error: unknown) => {
          this.#fault ??= error;
        });
        this.#last = this.#queue.submitted(this.#lane, flops, this.speed, fresh);
        if (more && fresh.length > 0 && cache.compilesInFirstRun) {
          await this.race(this.#queue.finished(this.#last));
          this.#sign?.poll(waitingBlocks);
        }
      } catch (error) {
        this.#queue.leave(this.#lane);
        throw error;
      }
      start = end;
    }
    return this.#last;
  }

  /** Waits for everything that was submitted. */
  async drain(): Promise<void> {
    if (this.#last) await this.race(this.#queue.finished(this.#last));
    this.check();
  }

  /** An answer of the device that comes with the end of what was submitted last. */
  answer<T>(ask: () => Promise<T>): Promise<T> {
    const asked = this.#whenAwake(ask);
    return this.race(this.#last ? this.#queue.answer(this.#last, asked) : asked());
  }

  /** What a submit has left for the host, while the call goes on. */
  readBack<T>(work: Work | undefined, ask: () => Promise<T>): Promise<T> {
    const asked = this.#whenAwake(ask);
    return this.race(work ? this.#queue.readBack(work, asked) : asked());
  }

  /** Time may have been slept over: what would be asked may be another call's by now. */
  #whenAwake<T>(ask: () => Promise<T>): () => Promise<T> {
    return async () => {
      this.check();
      return ask();
    };
  }

  /** Sleeps until what was submitted should be nearly done, where asking the device costs a core. */
  async rest(work: Work | undefined): Promise<void> {
    if (waitingSpins && sharesCores(this.session) && work) await this.race(sleepUntil(work.expectedDone, 0.85));
  }

  /** A promise of the device, or the abort or loss that comes before it. */
  race<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return unless(this.#stopped, promise);
  }
}
