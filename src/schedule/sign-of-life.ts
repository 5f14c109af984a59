import type { Kernel } from "../../shaders/kernel.ts";
import type { Compilation, PipelineCache } from "../gpu/pipelines.ts";
import type { Progress } from "./job.ts";

/** Reports about the waiting come no more often than this. */
const millisecondsBetween = 250;
/** A call that has nothing to tell says so after this long, so that its caller hears of it within a second. */
const millisecondsOfSilence = 900;

/**
 * What a call tells of itself: its own progress, and between two of its reports what it waits for, such as kernels that are being
 * compiled. With `onProgress` it looks four times a second, until it is {@link end ended}.
 */
export class SignOfLife {
  readonly #onProgress: ((progress: Progress) => void) | undefined;
  readonly #now: () => number;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #kernels = new Set<Compilation>();
  #pipelines: PipelineCache | undefined;
  #last: Progress;
  #told: number;
  #hasTold = false;
  #fault: { error: unknown } | undefined;
  /** Called when `onProgress` has thrown while nobody was there to catch it. */
  onFault: (error: unknown) => void = () => undefined;

  constructor(
    onProgress: ((progress: Progress) => void) | undefined,
    total: number,
    { done = 0, now = () => performance.now() } = {},
  ) {
    this.#onProgress = onProgress;
    this.#now = now;
    this.#told = now();
    this.#last = { done, total, particlesPerSecond: 0, secondsLeft: total > done ? Number.POSITIVE_INFINITY : 0 };
    this.resume();
  }

  /** Whether anybody hears of it. */
  get isHeard(): boolean {
    return this.#onProgress !== undefined;
  }

  /** Goes on after a {@link pause}. */
  resume(): void {
    if (!this.#onProgress || this.#timer !== undefined) return;
    this.#told = this.#now();
    this.#timer = setInterval(() => this.#guarded(() => this.poll()), millisecondsBetween / 2);
  }

  /** Tells nothing meanwhile: the call's consumer has a result, and it is the call that waits. */
  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Passes on how far the call is. */
  tell(progress: Progress): void {
    this.#last = progress;
    this.#told = this.#now();
    this.#hasTold = true;
    this.#onProgress?.(progress);
  }

  /** Notes kernels that the call waits for before it can go on. Those that it has waited for are forgotten when there are others. */
  expect(pipelines: PipelineCache, kernels: Iterable<Kernel>): void {
    if (!this.#onProgress) return;
    const { total, done } = this.#compiling();
    if (pipelines !== this.#pipelines || done === total) this.#kernels.clear();
    this.#pipelines = pipelines;
    for (const kernel of kernels) {
      const compilation = pipelines.compilation(kernel);
      if (!compilation.pipeline?.isReady) this.#kernels.add(compilation);
    }
  }

  /** Tells what the call waits for, if it is time; `isBlocking` when nothing can be told until that is over. */
  poll(isBlocking = false): void {
    if (!this.#onProgress) return;
    const silence = this.#now() - this.#told;
    const compiling = this.#compiling();
    const isCompiling = compiling.done < compiling.total;
    const isTuning = this.#pipelines?.gate !== undefined;
    const isDue = silence >= millisecondsBetween || (isBlocking && isCompiling && !this.#hasTold);
    if (!isDue || !(isCompiling || isTuning || silence >= millisecondsOfSilence)) return;
    this.#told = this.#now();
    this.#hasTold = true;
    this.#onProgress({
      ...this.#last,
      ...(isCompiling && { compiling }),
      ...(isTuning && !isCompiling && { tuning: true as const }),
    });
  }

  /** Tells what a call that is part of this one waits for. How far that one is, is its own affair. */
  passOn({ compiling, tuning }: Pick<Progress, "compiling" | "tuning">): void {
    if (!this.#onProgress || !(compiling || tuning)) return;
    // several parts tell at once
    if (this.#now() - this.#told < millisecondsBetween / 2) return;
    this.#told = this.#now();
    const told = { ...this.#last, ...(compiling && { compiling }), ...(tuning && { tuning }) };
    this.#guarded(() => this.#onProgress?.(told));
  }

  end(): void {
    this.pause();
    this.#kernels.clear();
  }

  /** Throws what `onProgress` has thrown while nobody was there to catch it. */
  check(): void {
    if (this.#fault) throw this.#fault.error;
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.end();
      this.#fault = { error };
      this.onFault(error);
    }
  }

  #compiling(): { done: number; total: number } {
    let done = 0;
    for (const { pipeline } of this.#kernels) if (pipeline?.isReady) done++;
    return { done, total: this.#kernels.size };
  }
}
