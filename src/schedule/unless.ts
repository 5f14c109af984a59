const waiting = new WeakMap<Promise<never>, Set<(reason: unknown) => void>>();

/**
 * `promise`, or the rejection of `stopped` where that comes first. With `Promise.race` a `stopped` that lives as long as a call
 * would hold every value that ever won against it, so a stream would keep all of its chunks.
 */
export function unless<T>(stopped: Promise<never>, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let rejects = waiting.get(stopped);
    if (!rejects) {
      const all = new Set<(reason: unknown) => void>();
      waiting.set(stopped, all);
      rejects = all;
      stopped.catch((reason: unknown) => {
        waiting.delete(stopped);
        for (const one of all) one(reason);
      });
    }
    const mine = rejects;
    mine.add(reject);
    const left = () => mine.delete(reject);
    promise.then(left, left);
    promise.then(resolve, reject);
  });
}

/** `promise`, or the signal's reason where that comes first. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  if (!signal) return promise;
  promise.catch(() => undefined);
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
  });
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
