import type { Thread, ThreadEvents, ThreadPlace } from "./thread-handle.ts";
import { threadOf } from "./web-worker.ts";

/** Deno starts web workers, too; reading the script needs --allow-read. */
export function startThread({ number, script }: ThreadPlace, events: ThreadEvents): Thread {
  const url = new URL(script ?? new URL("./thread-deno.js", import.meta.url));
  return threadOf(new Worker(url, { type: "module" }), `thread ${number}`, events);
}
