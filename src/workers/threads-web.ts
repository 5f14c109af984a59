import { PushforwardError } from "../errors.ts";
import { asInstalled, startScript } from "../web-script.ts";
import type { Thread, ThreadEvents, ThreadPlace } from "./thread-handle.ts";
import { threadOf } from "./web-worker.ts";

/** Pages start dedicated module workers. */
export function startThread({ number, script }: ThreadPlace, events: ThreadEvents): Thread {
  if (typeof Worker !== "function")
    throw new PushforwardError(
      "unsupported",
      "openWorkers: there is no Worker here, so no thread can be started: pass devices, as in workers: [await openGpu()]",
    );
  return threadOf(start(script), `thread ${number}`, events);
}

function start(script: string | URL | undefined): Worker {
  // Bundlers find the file by this very expression, and copy it as it is: it imports nothing.
  const beside = new URL("./pushforward-thread.min.js", import.meta.url);
  return startScript(script ?? asInstalled(beside));
}
