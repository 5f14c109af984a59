/** Somebody else's use of the cluster, for the type checker alone: its packages and Node's types are not installed. */
import type { PushforwardError } from "pushforward";
import { type Cluster, type JobEvent, openCluster, runWorker } from "pushforward/cluster";

export async function mean(url: string, file: Uint8Array, signal: AbortSignal): Promise<number> {
  const cluster: Cluster = await openCluster({ url, sameAdapter: true });
  let sum = 0;
  for await (const { start, x, logProb, adapter } of cluster.sampleStream(file, 5000, { logProb: true, signal }))
    sum += start + x.length + (logProb?.[0] ?? 0) + adapter.length;
  const { logProb, adapters } = await cluster.logProb(file, Float32Array.of(1, 2), { solver: { method: "dopri5" } });
  await cluster.close();
  return sum + logProb.length + adapters.length;
}

export async function serve(gpu: Parameters<typeof runWorker>[0], url: string): Promise<PushforwardError["code"]> {
  const events: JobEvent[] = [];
  await runWorker(gpu, { url, onJob: (event) => events.push(event) });
  return "connection";
}
