import { PushforwardError } from "../errors.ts";
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
  const url = new URL(script ?? asInstalled(beside), location.href);
  if (/^https?:$/.test(url.protocol) && url.origin !== location.origin) return fromElsewhere(url);
  return new Worker(url, { type: "module" });
}

/** Vite's development server (before version 8) moves this module into a cache of its own, but serves packages where they are. */
export function asInstalled({ href }: URL): string {
  return href.replace(/\/node_modules\/\.vite\/deps(_[^/]*)?\/(?=[^/]*$)/, "/node_modules/pushforward/dist/");
}

/** A worker's script has the origin of its page: one of a CDN is imported by a script that has. */
function fromElsewhere(url: URL): Worker {
  const text = `import ${JSON.stringify(url.href)};`;
  const own = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(own, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(own), { once: true });
  return worker;
}
