import type { Progress } from "../schedule/job.ts";
import { SignOfLife } from "../schedule/sign-of-life.ts";

/** Kernels of a worker that are being compiled. */
export type Compiling = NonNullable<Progress["compiling"]>;

/** Tells `onProgress` of every range that is done, with the speed since the beginning, and meanwhile what the workers wait for. */
export class CallProgress {
  readonly sign: SignOfLife;
  readonly #total: number;
  readonly #started = performance.now();
  /** By worker, while it compiles. */
  readonly #compiling = new Map<string, Compiling>();
  #done = 0;

  constructor(call: { total: number; onProgress: ((progress: Progress) => void) | undefined }) {
    this.#total = call.total;
    this.sign = new SignOfLife(call.onProgress, call.total);
  }

  add(particles: number): void {
    this.#done += particles;
    const particlesPerSecond = this.#done / Math.max(1e-9, (performance.now() - this.#started) / 1000);
    const [done, total] = [this.#done, this.#total];
    this.sign.tell({ done, total, particlesPerSecond, secondsLeft: (total - done) / particlesPerSecond });
  }

  /** Notes what a worker waits for; nothing, when it has computed its range. */
  waits(worker: string, compiling: Compiling | undefined): void {
    if (compiling) this.#compiling.set(worker, compiling);
    else this.#compiling.delete(worker);
    if (!compiling) return;
    let [done, total] = [0, 0];
    for (const each of this.#compiling.values()) {
      done += each.done;
      total += each.total;
    }
    this.sign.passOn({ compiling: { done, total } });
  }
}
