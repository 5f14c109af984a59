/** What ends a call before its last range: its signal, the closing of what runs it, or a failure. */
export class Ending {
  /** Rejects with the reason; never resolves. */
  readonly stopped: Promise<never>;
  readonly #stop = new AbortController();

  /** Throws when one of the signals is aborted already. */
  constructor(...signals: readonly (AbortSignal | undefined)[]) {
    for (const signal of signals) signal?.throwIfAborted();
    const { signal: stop } = this.#stop;
    this.stopped = new Promise((_, reject) => {
      stop.addEventListener("abort", () => reject(stop.reason), { once: true });
    });
    this.stopped.catch(() => undefined);
    // an ended call is no longer held by signals that live on
    for (const signal of signals) signal?.addEventListener("abort", () => this.fail(signal.reason), { signal: stop });
  }

  /** Aborted when the call is over, however it ends. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  readonly fail = (reason: unknown): void => this.#stop.abort(reason);

  /** Nothing of the call is needed any more. */
  end(): void {
    this.#stop.abort();
  }
}
