import type { Gpu } from "../gpu/gpu.ts";
import { readBack } from "../gpu/read.ts";
import { checkReadable } from "./readable-buffers.ts";

/** Brings the samples of a buffer to the host, whose rows they fill. */
export async function readSamples(gpu: Gpu, samples: GPUBuffer, rows: Float32Array): Promise<void> {
  const session = gpu.current;
  await checkReadable(session, "source", { samples });
  rows.set(new Float32Array(await readBack(session, samples, rows.byteLength)));
}
