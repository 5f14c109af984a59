import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Session } from "../gpu/session.ts";
import type { SignOfLife } from "./sign-of-life.ts";
import { unlessAborted } from "./unless.ts";

/** How often the device may be lost without a result in between, before a call takes it for its own doing. */
const mostLosses = 5;

/** A call as the loop over devices sees it: what one device began, the next one goes on with. */
export interface LongCall<T> {
  readonly signal?: AbortSignal | undefined;
  /** Tells nothing while the caller has a result. */
  readonly sign?: SignOfLife | undefined;
  /** The results that are still missing, computed on this device. It frees what it holds, however it ends. */
  on(session: Session): AsyncGenerator<T, unknown>;
  /** How far the call has come, in a number that grows: while it stays, losses are losses in a row. */
  reached(): number;
  /**
   * Makes ready for another device after the loss number `losses` in a row, and throws where the call cannot go on with the same
   * bits. `"done"` when nothing is left to do.
   */
  prepare(session: Session, losses: number): "again" | "done";
  /** What it was at, for a message: "trainFlowMatching took step 7". */
  doing(): string;
}

/**
 * The results of a call, from one device after the other: the one place where anything goes on after a lost device. The signal ends
 * it with its reason, also where the device is lost at the same time; every exit, also an early one, ends the work on the device.
 *
 * @throws PushforwardError `device-lost` when there is no other device, or devices are lost time after time without a result.
 */
export async function* acrossLosses<T>(gpu: Gpu, call: LongCall<T>): AsyncGenerator<T, undefined> {
  const { signal, sign } = call;
  for (let losses = 0, furthest = 0; ; ) {
    const session = await unlessAborted(signal, gpu.session());
    const results = call.on(session);
    try {
      for (;;) {
        let result: T;
        try {
          const { done, value } = await results.next();
          if (done) return;
          result = value as T;
        } catch (error) {
          signal?.throwIfAborted();
          if (!(await isLoss(session, error))) throw error;
          losses = call.reached() > furthest ? 1 : losses + 1;
          furthest = Math.max(furthest, call.reached());
          if (losses > mostLosses) throw lostTooOften(call.doing(), losses);
          if (call.prepare(session, losses) === "done") return;
          break;
        }
        sign?.pause();
        yield result;
        sign?.resume();
      }
    } finally {
      await results.return(undefined);
    }
  }
}

/** The result of work that leaves nothing behind, done again on another device when the one that it ran on is lost. */
export async function onDevice<T>(gpu: Gpu, what: string, work: (session: Session) => Promise<T>): Promise<T> {
  const results = acrossLosses<T>(gpu, {
    async *on(session) {
      yield await work(session);
    },
    reached: () => 0,
    prepare: () => "again",
    doing: () => `${what} ran`,
  });
  for await (const result of results) return result;
  throw new Error("the work has one result");
}

/** Whether an error comes of the loss of the device. */
async function isLoss(session: Session, error: unknown): Promise<boolean> {
  if (session.isDisposed) return false;
  // these have reasons of their own
  const own = error instanceof PushforwardError && ["invalid-argument", "unsupported", "format"].includes(error.code);
  return own ? false : session.hasGone();
}

/** The end of a call that loses one device after the other. */
function lostTooOften(doing: string, losses: number): PushforwardError {
  return new PushforwardError(
    "device-lost",
    `the GPU device was lost ${losses} times in a row while ${doing}: see whether its driver has an update, and pass a smaller chunkSize or batchSize`,
  );
}
