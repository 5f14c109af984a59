import type { Compiling } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import type { Arrays } from "../spread/parcel.ts";
import type { Failure, RangeFigures, RangeTask } from "../spread/range-task.ts";

/** What became of a range at a worker. */
export type Outcome =
  | { readonly kind: "done"; readonly adapter: string; readonly figures: RangeFigures; readonly arrays: Arrays }
  | { readonly kind: "failed"; readonly failure: Failure }
  /** The worker takes no more ranges. */
  | { readonly kind: "gone"; readonly why: string };

/** Whatever computes ranges, one at a time: a device of this thread, or another thread with its own. */
export interface RangeWorker {
  readonly name: string;
  readonly adapter: string;
  /** Resolves, with the reason in words, when the worker takes no more ranges. */
  readonly gone: Promise<string>;
  /** Never rejects. `input` is read, not kept. */
  solve(flow: CarriedFlow, task: RangeTask, input: Arrays, waits: (compiling: Compiling) => void): Promise<Outcome>;
  /** Stops the range in work within a dispatch; what comes of it is not used. */
  abort(): void;
  /** Frees all, when what runs has been aborted. */
  close(): Promise<void>;
}
