import type { Progress } from "../schedule/job.ts";

/** Tells `onProgress` of every range that is done, with the speed since the beginning. */
export class CallProgress {
  readonly #total: number;
  readonly #tell: ((progress: Progress) => void) | undefined;
  readonly #started = performance.now();
  #done = 0;

  constructor(call: { total: number; onProgress: ((progress: Progress) => void) | undefined }) {
    this.#total = call.total;
    this.#tell = call.onProgress;
  }

  add(particles: number): void {
    this.#done += particles;
    const particlesPerSecond = this.#done / Math.max(1e-9, (performance.now() - this.#started) / 1000);
    const [done, total] = [this.#done, this.#total];
    this.#tell?.({ done, total, particlesPerSecond, secondsLeft: (total - done) / particlesPerSecond });
  }
}
