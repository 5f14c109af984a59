import type { PlannedBuffer } from "../gpu/kernel.ts";

/** A chunk's part of an array [n, width] of the caller, on the host or on the device. */
export function slice(
  name: string,
  all: Float32Array | Uint32Array | GPUBuffer,
  start: number,
  count: number,
  width: number,
): PlannedBuffer {
  const bytes = count * width * 4;
  return ArrayBuffer.isView(all)
    ? { name, bytes, data: all.subarray(start * width, (start + count) * width) }
    : { name, bytes, copy: { from: all, offset: start * width * 4, bytes } };
}
