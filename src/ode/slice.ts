import { readable, repeated } from "../arrays.ts";
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

/** The same of an array of the conditions, whose single row may be that of all particles. */
export const sliceOrRepeat: typeof slice = (name, all, start, count, width) => {
  const own = readable(name, all);
  if (!ArrayBuffer.isView(own) || own.length !== width || start + count === 1)
    return slice(name, all, start, count, width);
  const data = repeated<Float32Array | Uint32Array>(own, count);
  return { name, bytes: data.byteLength, data };
};
