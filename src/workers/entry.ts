// The entry "pushforward/workers", for browsers, Deno and Node.
export type {
  SpreadHistogramOptions,
  SpreadLogProbOptions,
  SpreadMomentOptions,
  SpreadOptions,
  SpreadSampleOptions,
} from "../spread/call.ts";
export type { Adapters, ComputedBy } from "../spread/spread-calls.ts";
export type { ThreadGpuOptions } from "./messages.ts";
export type { WorkerPlace, WorkersOptions } from "./options.ts";
export { openWorkers, Workers } from "./workers.ts";
