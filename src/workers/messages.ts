import type { GpuOptions } from "../gpu/adapter.ts";
import type { Compiling } from "../spread/call-progress.ts";
import type { Arrays } from "../spread/parcel.ts";
import type { RangeTask } from "../spread/range-task.ts";
import type { Outcome } from "./range-worker.ts";

/** How a thread opens its device: what of {@link GpuOptions} can travel. */
export type ThreadGpuOptions = Pick<GpuOptions, "powerPreference" | "software" | "memoryBudget"> & { tune?: boolean };

/** What a thread is told. */
export type ToThread =
  | { readonly kind: "open"; readonly name: string; readonly gpu: ThreadGpuOptions }
  | { readonly kind: "range"; readonly hash: string; readonly task: RangeTask; readonly input: Arrays }
  /** The flow that the thread wants for its range. */
  | { readonly kind: "flow"; readonly parcel: Uint8Array }
  /** The range is not needed any more; it is answered all the same. */
  | { readonly kind: "abort" };

/** What a thread tells. Every range gets one outcome. */
export type FromThread =
  | { readonly kind: "ready"; readonly version: string; readonly adapter: string }
  | { readonly kind: "want" }
  /** What the range waits for. */
  | { readonly kind: "compiling"; readonly compiling: Compiling }
  | Outcome;
