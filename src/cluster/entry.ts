// The entry "pushforward/cluster", for Node.
export type {
  ClusterHistogramOptions,
  ClusterLogProbOptions,
  ClusterMomentOptions,
  ClusterSampleOptions,
  SpreadOptions,
} from "./call.ts";
export { type Adapters, Cluster, type ClusterOptions, type ComputedBy, openCluster } from "./client.ts";
export { type JobEvent, runWorker, type WorkerOptions } from "./worker.ts";
