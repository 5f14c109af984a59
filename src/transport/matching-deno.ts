import { threadOf } from "./matching-worker.ts";
import type { MatchingEvents, MatchingThread } from "./thread-handle.ts";

export const processors = (): number => navigator.hardwareConcurrency;

/** The script of a thread: from JSR Deno gets the sources, from npm what is built of them. */
const beside = import.meta.url.endsWith(".ts") ? "./thread-web.ts" : "./matching-thread-deno.js";

/** A web worker keeps a program of Deno alive: one that has nothing to do for so long is ended, and started again when there is. */
const millisecondsOfRest = 1000;

/** Deno starts web workers, too; reading the script needs --allow-read. */
export function startThread({ onMatch, onGone }: MatchingEvents): MatchingThread {
  let running: MatchingThread | undefined;
  let inWork = 0;
  let rest: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    clearTimeout(rest);
    running?.end();
    running = undefined;
  };
  const start = () =>
    threadOf(new Worker(new URL(beside, import.meta.url), { type: "module" }), {
      onMatch(match) {
        if (--inWork === 0) rest = setTimeout(end, millisecondsOfRest);
        onMatch(match);
      },
      onGone,
    });
  return {
    post(job) {
      clearTimeout(rest);
      inWork++;
      running ??= start();
      running.post(job);
    },
    end,
  };
}
