// biome-ignore-start lint/correctness/noNodejsModules: only Node loads this file
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
// biome-ignore-end lint/correctness/noNodejsModules: only Node loads this file
import type { MatchingEvents, MatchingThread } from "./thread-handle.ts";

export const processors = availableParallelism;

/** No device is opened there, so it is a thread, not a process as those of openWorkers() are. */
export function startThread({ onMatch, onGone }: MatchingEvents): MatchingThread {
  // options of this process such as --eval or --input-type are not meant for the script
  const worker = new Worker(new URL("./matching-thread-node.js", import.meta.url), { execArgv: [] });
  worker.unref();
  let inWork = 0;
  worker.on("message", (match) => {
    if (--inWork === 0) worker.unref();
    onMatch(match);
  });
  worker.on("error", onGone);
  worker.on("exit", onGone);
  return {
    post(job) {
      if (inWork++ === 0) worker.ref();
      worker.postMessage(job);
    },
    end: () => void worker.terminate(),
  };
}
