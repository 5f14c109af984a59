import type { FromThread } from "./messages.ts";
import type { Thread, ThreadEvents } from "./thread-handle.ts";

/** The first message to a web worker: the name of the lock that it holds as long as it lives. */
export interface LockMessage {
  readonly lock: string;
}

/**
 * A web worker as a thread. Nothing tells when a worker was terminated, or has closed itself: but then the lock that it holds is free.
 */
export function threadOf(worker: Worker, name: string, { onMessage, onGone }: ThreadEvents): Thread {
  const lock = `pushforward ${crypto.randomUUID()}`;
  const ended = new AbortController();
  const watch = () => {
    navigator.locks?.request(lock, { signal: ended.signal }, () => onGone("was ended")).catch(() => undefined);
  };
  worker.addEventListener("message", ({ data }: MessageEvent<FromThread>) => {
    if (data?.kind === "ready") watch();
    onMessage(data);
  });
  worker.addEventListener("error", (event) => {
    // Deno ends the whole program otherwise
    event.preventDefault();
    onGone(`failed: ${event.message || "its script could not be loaded"}`);
  });
  worker.postMessage({ lock } satisfies LockMessage);
  return {
    name,
    post: (message, transfer) => worker.postMessage(message, transfer),
    end: async () => {
      ended.abort();
      worker.terminate();
    },
  };
}
