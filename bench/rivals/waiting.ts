import type { Home } from "../contender.ts";

/**
 * How a rival waits for its device. Node's WebGPU delivers promises by polling on the main thread, which takes a core from a
 * software adapter while one is pending. Ours sleeps through half of the expected time before it asks; so that the comparison
 * is of kernels and not of waits, the rivals get the same: half of the shortest run so far. Elsewhere they just ask.
 */
export class Wait {
  readonly #sleeps: boolean;
  #shortest = Number.POSITIVE_INFINITY;
  #isFirst = true;

  constructor(home: Home) {
    this.#sleeps = home === "node";
  }

  /** One run: `submit` hands everything to the device, `finish` resolves when it is done. */
  async run(submit: () => Promise<void>, finish: () => Promise<void>): Promise<void> {
    const start = performance.now();
    await submit();
    if (this.#sleeps && Number.isFinite(this.#shortest)) {
      const milliseconds = this.#shortest / 2 - (performance.now() - start);
      if (milliseconds >= 1) await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
    await finish();
    // The first run compiles: its time says nothing about the next one.
    if (!this.#isFirst) this.#shortest = Math.min(this.#shortest, performance.now() - start);
    this.#isFirst = false;
  }
}
