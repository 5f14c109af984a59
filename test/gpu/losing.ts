import * as pf from "pushforward";

/** Loses the device of `gpu` behind the library's back, for real. */
export const lose = (gpu: pf.Gpu) => gpu.device.destroy();

/** Work on a flow that is gone afterwards. */
export async function withFlow<T>(
  gpu: pf.Gpu,
  velocity: pf.FlowOptions["velocity"],
  work: (flow: pf.Flow) => Promise<T>,
) {
  const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
  try {
    return await work(flow);
  } finally {
    flow.dispose();
  }
}

/** A Gpu of the test's own, and the number of devices that it has used so far. */
export async function ownGpu(options: pf.GpuOptions = {}): Promise<{ gpu: pf.Gpu; devices: () => number }> {
  const gpu = await pf.openGpu(options);
  const seen = new Set<GPUDevice>();
  return { gpu, devices: () => seen.add(gpu.device).size };
}

/** An `onProgress` that hears of news alone: neither of kernels that are compiled, nor that a call is still at work. */
export function ofNews(hear: (progress: pf.Progress) => void): (progress: pf.Progress) => void {
  let last = 0;
  return (progress) => {
    if (progress.compiling || progress.tuning || progress.done === last) return;
    last = progress.done;
    hear(progress);
  };
}

/** The error that a promise rejects with; fails when it resolves or rejects with anything else. */
export async function rejection(promise: Promise<unknown>): Promise<pf.PushforwardError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof pf.PushforwardError)) throw new Error(`wanted a PushforwardError, got ${String(error)}`);
  return error;
}
