import { readable } from "../arrays.ts";
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
  // the caller may have transferred it while the call ran
  const own = readable(name, all);
  return ArrayBuffer.isView(own)
    ? { name, bytes, data: own.subarray(start * width, (start + count) * width) }
    : { name, bytes, copy: { from: own, offset: start * width * 4, bytes } };
}
