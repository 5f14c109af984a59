import { threadOf } from "./matching-worker.ts";
import type { MatchingEvents, MatchingThread } from "./thread-handle.ts";

export const processors = (): number => navigator.hardwareConcurrency;

/** Deno starts web workers, too; reading the script needs --allow-read. */
export function startThread(events: MatchingEvents): MatchingThread {
  return threadOf(new Worker(new URL("./matching-thread-deno.js", import.meta.url), { type: "module" }), events);
}
