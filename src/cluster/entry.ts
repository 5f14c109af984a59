// The entry "pushforward/cluster", for Node.
export type {
  SpreadHistogramOptions as ClusterHistogramOptions,
  SpreadLogProbOptions as ClusterLogProbOptions,
  SpreadMomentOptions as ClusterMomentOptions,
  SpreadOptions,
  SpreadSampleOptions as ClusterSampleOptions,
} from "../spread/call.ts";
export type { Adapters, ComputedBy } from "../spread/spread-calls.ts";
export { Cluster, type ClusterOptions, openCluster } from "./client.ts";
export { type JobEvent, runWorker, type WorkerOptions } from "./worker.ts";
