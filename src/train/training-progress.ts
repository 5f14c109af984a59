import type { Progress } from "../schedule/job.ts";
import { SignOfLife } from "../schedule/sign-of-life.ts";

/** Calls come no more often than this, but for the last one: a step may take less than a millisecond. */
const millisecondsBetween = 100;

/** Tells of steps done; those of an earlier run, before `first`, took none of this run's time. */
export class TrainingProgress {
  readonly sign: SignOfLife;
  readonly #steps: number;
  readonly #batchSize: number;
  readonly #first: number;
  readonly #started = performance.now();
  #last = this.#started - millisecondsBetween;

  constructor(onProgress: ((progress: Progress) => void) | undefined, steps: number, batchSize: number, first: number) {
    this.sign = new SignOfLife(onProgress, steps, { done: first });
    this.#steps = steps;
    this.#batchSize = batchSize;
    this.#first = first;
  }

  tell(done: number): void {
    const now = performance.now();
    const steps = this.#steps;
    if (now - this.#last < millisecondsBetween && done < steps) return;
    this.#last = now;
    const stepsPerSecond = (done - this.#first) / Math.max(1e-9, (now - this.#started) / 1000);
    const secondsLeft = (steps - done) / stepsPerSecond;
    this.sign.tell({ done, total: steps, particlesPerSecond: stepsPerSecond * this.#batchSize, secondsLeft });
  }
}
