import type { Gpu } from "pushforward";

/** Calls `hear` whenever work is submitted to a device of the home, until what comes back is called. */
export function watchSubmissions(gpu: Gpu, hear: () => void): () => void {
  // on the prototype, since not every home gives the same object for a device's queue each time
  const queues = Object.getPrototypeOf(gpu.device.queue) as GPUQueue;
  const { submit } = queues;
  queues.submit = function (...list) {
    hear();
    return submit.apply(this, list);
  };
  return () => {
    queues.submit = submit;
  };
}
