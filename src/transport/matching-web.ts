import { asInstalled, startScript } from "../web-script.ts";
import { threadOf } from "./matching-worker.ts";
import type { MatchingEvents, MatchingThread } from "./thread-handle.ts";

export const processors = (): number => navigator.hardwareConcurrency;

export function startThread(events: MatchingEvents): MatchingThread {
  // Bundlers find the file by this very expression, and copy it as it is: it imports nothing.
  const beside = new URL("./pushforward-matching.min.js", import.meta.url);
  return threadOf(startScript(asInstalled(beside)), events);
}
