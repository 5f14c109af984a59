import { invalid } from "../errors.ts";
import type { Session } from "../gpu/session.ts";
import { checkInteger, show } from "../options.ts";
import { particleCount } from "./options.ts";

/**
 * Row-major values of particles: an array, or a buffer that this flow's device made, with COPY_SRC among its usages and the
 * values from its first byte on. The call copies what it reads; the buffer stays its owner's and must live until the call ends.
 */
export type Rows = Float32Array | GPUBuffer;

const copySource = 0x04; // GPUBufferUsage.COPY_SRC, which is no global in Node

/** By its members: Node has no global class to compare with. */
export function isBuffer(value: unknown): value is GPUBuffer {
  const buffer = value as Partial<GPUBuffer> | null | undefined;
  return (
    typeof buffer === "object" && typeof buffer?.mapAsync === "function" && typeof buffer.getMappedRange === "function"
  );
}

/** Number of rows in `x`: those of an array, those that fit into a buffer, or the first `count` of a buffer. */
export function rowCount(what: string, name: string, x: unknown, dim: number, count?: number): number {
  if (count !== undefined) checkInteger(`${what}: count`, count, 0);
  if (!isBuffer(x)) {
    const n = particleCount(what, name, x, dim);
    if (count !== undefined && count !== n)
      throw invalid(
        `${what}: count is ${count}, but ${name} has ${n} rows: leave count out, it is for rows in a GPUBuffer`,
      );
    return n;
  }
  const bytes = dim * 4;
  if ((x.usage & copySource) === 0)
    throw invalid(
      `${what}: ${name} is a GPUBuffer without the usage COPY_SRC, so its rows cannot be read: create it with GPUBufferUsage.COPY_SRC`,
    );
  if (x.mapState !== "unmapped")
    throw invalid(`${what}: ${name} is a GPUBuffer that is mapped (${x.mapState}): call its unmap() first`);
  if (count !== undefined && count * bytes > x.size)
    throw invalid(
      `${what}: ${name} is a GPUBuffer of ${x.size} bytes, but ${count} rows of ${dim} f32 need ${count * bytes}: pass a smaller count or a larger buffer`,
    );
  if (count === undefined && x.size % bytes !== 0)
    throw invalid(
      `${what}: ${name} is a GPUBuffer of ${x.size} bytes, which is no multiple of ${bytes}, a row of ${dim} f32: pass count, the number of rows in it`,
    );
  return count ?? x.size / bytes;
}

/** Throws unless `values` has `width` values for each of `n` particles. */
export function checkLength(
  what: string,
  name: string,
  values: unknown,
  n: number,
  width: number,
  count?: number,
): void {
  if (isBuffer(values)) {
    const rows = rowCount(what, name, values, width, count);
    if (rows !== n)
      throw invalid(
        `${what}: ${name} is a GPUBuffer of ${rows} rows, but there are ${n} particles: pass a buffer of ${n * width * 4} bytes`,
      );
    return;
  }
  if (!(values instanceof Float32Array) || values.length !== n * width)
    throw invalid(
      `${what}: ${name} ${values instanceof Float32Array ? `has ${values.length} values` : `is ${show(values)}`}, but there are ${n} particles: pass a Float32Array or a GPUBuffer of ${n * width} values`,
    );
}

/**
 * Makes sure that the device can read the buffers among `rows`. WebGPU tells a destroyed buffer, and one of another device,
 * only from a command that uses it, so four bytes of each are copied.
 */
export async function checkReadable(session: Session, what: string, rows: Record<string, unknown>): Promise<void> {
  const buffers = Object.entries(rows).filter((entry): entry is [string, GPUBuffer] => isBuffer(entry[1]));
  if (buffers.length === 0) return;
  const scratch = await session.buffers.acquire(16, "storage", what);
  try {
    for (const [name, buffer] of buffers) {
      if (buffer.size < 4) continue;
      const problem = await problemOfReading(session, buffer, scratch);
      session.assertUsable();
      if (problem !== undefined)
        throw invalid(
          `${what}: ${name} is a GPUBuffer that this device cannot read, because it was destroyed or another device made it: pass one of gpu.device that lives until the call ends (${problem})`,
        );
    }
  } finally {
    session.buffers.release(scratch);
  }
}

async function problemOfReading(
  { device }: Session,
  buffer: GPUBuffer,
  scratch: GPUBuffer,
): Promise<string | undefined> {
  device.pushErrorScope("validation");
  let thrown: unknown;
  try {
    const encoder = device.createCommandEncoder({ label: "check a GPUBuffer" });
    encoder.copyBufferToBuffer(buffer, 0, scratch, 0, 4);
    device.queue.submit([encoder.finish()]);
  } catch (error) {
    thrown = error;
  }
  const error = await device.popErrorScope();
  return thrown === undefined ? error?.message : String(thrown);
}
