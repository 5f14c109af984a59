import { PushforwardError } from "../errors.ts";
import { type GpuInfo, type GpuOptions, requestDevice } from "./adapter.ts";

/** Waits before each attempt: a driver that starts anew may take a while. */
const millisecondsBefore = [0, 100, 400, 1000, 1500];

/** What has to be equal for two devices to give the same bits. */
const identity = ({ vendor, architecture, description, features, subgroupSize }: GpuInfo) =>
  JSON.stringify([vendor, architecture, description, features, subgroupSize]);

/**
 * A device in place of a lost one, of the same kind: results of another one would have other bits. An adapter that the caller
 * brought has gone with its device, so one is looked for as `openGpu` does without it.
 */
export async function reopenDevice(options: GpuOptions, info: GpuInfo): Promise<GPUDevice> {
  const { adapter: _, ...request } = options;
  let failure: unknown;
  for (const milliseconds of millisecondsBefore) {
    if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
    try {
      const { device, info: found } = await requestDevice(request);
      if (identity(found) === identity(info)) return device;
      device.destroy();
      failure = new PushforwardError(
        "no-adapter",
        `the adapter is another one now (${found.description || found.vendor}), whose results would have other bits`,
      );
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
