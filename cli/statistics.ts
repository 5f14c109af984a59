/** Running mean and variance in f64 (Welford's recurrence), so that any number of values takes constant memory. */
export class RunningMean {
  /** Values that are finite: the mean is over these. */
  count = 0;
  nonFinite = 0;
  #mean = 0;
  #squares = 0;

  add(values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      if (!Number.isFinite(value)) {
        this.nonFinite++;
        continue;
      }
      this.count++;
      const distance = value - this.#mean;
      this.#mean += distance / this.count;
      this.#squares += distance * (value - this.#mean);
    }
  }

  /** Null where there is no finite value, as JSON has it. */
  get mean(): number | null {
    return this.count === 0 ? null : this.#mean;
  }

  /** Sample standard deviation; null below two values. */
  get deviation(): number | null {
    return this.count < 2 ? null : Math.sqrt(this.#squares / (this.count - 1));
  }

  /** Standard error of the mean: sample standard deviation over √n; null below two values. */
  get standardError(): number | null {
    const { deviation } = this;
    return deviation === null ? null : deviation / Math.sqrt(this.count);
  }
}
