import type { Gpu } from "./gpu.ts";

/** Copies the first `bytes` of a buffer to the host, on its own submit. */
export async function readBack(gpu: Gpu, buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  const staging = await gpu.buffers.acquire(bytes, "staging", "read-back");
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, align(bytes));
    gpu.device.queue.submit([encoder.finish()]);
    return await mapCopy(gpu, staging, bytes);
  } finally {
    gpu.buffers.release(staging);
  }
}

/** Maps a staging buffer, copies what is in it, unmaps it. */
export async function mapCopy(gpu: Gpu, staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  try {
    await staging.mapAsync(1, 0, align(bytes));
  } catch (cause) {
    // The loss is announced on its own promise, which may settle a little later than the failed map.
    await Promise.race([gpu.lost, Promise.resolve()]);
    throw gpu.isLost || staging.mapState !== "mapped" ? gpu.lostError(cause) : cause;
  }
  const copy = staging.getMappedRange(0, align(bytes)).slice(0, bytes);
  staging.unmap();
  return copy;
}

/** Copies and maps go in multiples of four bytes. */
export function align(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
