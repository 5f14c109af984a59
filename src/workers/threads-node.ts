// biome-ignore-start lint/correctness/noNodejsModules: only Node loads this file
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
// biome-ignore-end lint/correctness/noNodejsModules: only Node loads this file
import type { FromThread } from "./messages.ts";
import type { Thread, ThreadEvents, ThreadPlace } from "./thread-handle.ts";

/**
 * Node's threads are processes: Dawn's binding ends the whole process when a worker thread is terminated while one of its promises
 * is pending, or when the program exits meanwhile. A process that a driver ends takes nobody along.
 */
export function startThread({ script }: ThreadPlace, { onMessage, onGone }: ThreadEvents): Thread {
  const path = script ?? new URL("./thread-node.js", import.meta.url);
  const isUrl = path instanceof URL || path.startsWith("file:");
  const child: ChildProcess = fork(isUrl ? fileURLToPath(path) : path, {
    serialization: "advanced",
    // options of this process such as --eval or --input-type are not meant for the script
    execArgv: [],
    // the standard output is the program's own
    stdio: ["ignore", 2, 2, "ipc"],
  });
  const exited = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      onGone(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
      resolve();
    });
    child.on("error", (error) => {
      onGone(`failed: ${error.message}`);
      if (child.pid === undefined) resolve();
    });
  });
  child.on("message", (message) => onMessage(message as FromThread));
  return {
    name: `process ${child.pid ?? "that could not be started"}`,
    post: (message) => {
      // whether it has gone is known by its end
      child.send(message, () => undefined);
    },
    end: () => {
      child.kill("SIGKILL");
      return exited;
    },
  };
}
