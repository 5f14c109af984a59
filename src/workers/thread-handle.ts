import type { FromThread, ToThread } from "./messages.ts";

/** A thread as its caller holds it: what `startThread` of the platform gives (import condition `#threads`). */
export interface Thread {
  /** Name in messages and results. */
  readonly name: string;
  /** Buffers in `transfer` are moved where the platform can. */
  post(message: ToThread, transfer: ArrayBuffer[]): void;
  /** Ends it at once, whatever it does; resolves when it is gone. */
  end(): Promise<void>;
}

export interface ThreadEvents {
  onMessage(message: FromThread): void;
  /** Called at least once when the thread has ended, or has to be taken for that; says why. */
  onGone(why: string): void;
}

export interface ThreadPlace {
  /** Counted from 1. */
  readonly number: number;
  /** Another script than the one beside this file. */
  readonly script: string | URL | undefined;
}
