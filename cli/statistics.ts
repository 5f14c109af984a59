/** Running mean and variance in f64 (Welford's recurrence), so that any number of values takes constant memory. */
export class RunningMean {
  count = 0;
  nonFinite = 0;
  mean = 0;
  #squares = 0;

  add(values: Float32Array): void {
    for (const value of values) {
      if (!Number.isFinite(value)) {
        this.nonFinite++;
        continue;
      }
      this.count++;
      const distance = value - this.mean;
      this.mean += distance / this.count;
      this.#squares += distance * (value - this.mean);
    }
  }

  /** Standard error of the mean: sample standard deviation over √n; NaN below two values. */
  get standardError(): number {
    return Math.sqrt(this.#squares / (this.count - 1) / this.count);
  }
}
