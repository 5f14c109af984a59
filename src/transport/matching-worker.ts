import type { Match } from "./match.ts";
import type { MatchingEvents, MatchingThread } from "./thread-handle.ts";

/** A web worker that pairs points. */
export function threadOf(worker: Worker, { onMatch, onGone }: MatchingEvents): MatchingThread {
  worker.addEventListener("message", ({ data }: MessageEvent<Match>) => onMatch(data));
  worker.addEventListener("error", (event) => {
    // Deno ends the whole program otherwise
    event.preventDefault();
    onGone();
  });
  return { post: (job) => worker.postMessage(job), end: () => worker.terminate() };
}
