import type { Thread, ThreadEvents, ThreadPlace } from "./thread-handle.ts";
import { threadOf } from "./web-worker.ts";

/** Deno starts web workers, too; reading the script needs --allow-read. */
export function startThread({ number, script }: ThreadPlace, events: ThreadEvents): Thread {
  // from JSR it gets the sources, from npm what is built of them
  const beside = import.meta.url.endsWith(".ts") ? "./thread-web.ts" : "./thread-deno.js";
  const url = new URL(script ?? new URL(beside, import.meta.url));
  return threadOf(new Worker(url, { type: "module" }), `thread ${number}`, events);
}
