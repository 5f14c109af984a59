// What a web worker of openWorkers() runs, in browsers and in Deno.
import type { FromThread, ToThread } from "./messages.ts";
import { serve } from "./thread.ts";
import type { LockMessage } from "./web-worker.ts";

/** The part of a worker's global scope that is used here. */
declare const self: {
  addEventListener(type: "message", listener: (event: MessageEvent<ToThread | LockMessage>) => void): void;
  postMessage(message: FromThread, transfer: ArrayBuffer[]): void;
};

const receive = serve((message, transfer) => self.postMessage(message, transfer));
let isHeld: Promise<void> = Promise.resolve();

/** Holds the lock until this worker ends; resolves when it has it, and where there are no locks. */
function hold(lock: string): Promise<void> {
  return new Promise((resolve) => {
    if (!navigator.locks) return resolve();
    const held = () => {
      resolve();
      return new Promise<never>(() => undefined);
    };
    navigator.locks.request(lock, held).catch(() => resolve());
  });
}

self.addEventListener("message", ({ data }) => {
  if (typeof data !== "object" || data === null) return;
  if ("lock" in data) isHeld = hold(data.lock);
  else void isHeld.then(() => receive(data));
});
