import type { PipelineCache } from "../gpu/pipelines.ts";

/**
 * Lets nothing else on the device while `work` runs: what is submitted is waited for, what comes meanwhile waits.
 * Work that keeps others waiting for long is not for this.
 */
export async function hold<T>(device: GPUDevice, pipelines: PipelineCache, work: () => Promise<T>): Promise<T> {
  while (pipelines.gate) await pipelines.gate;
  let release = () => {};
  pipelines.gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const lost = device.lost.then(({ message }) => {
    throw new Error(message);
  });
  lost.catch(() => undefined);
  try {
    await Promise.race([device.queue.onSubmittedWorkDone(), lost]);
    return await Promise.race([work(), lost]);
  } finally {
    pipelines.gate = undefined;
    release();
  }
}
