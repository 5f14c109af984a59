import { invalid } from "../errors.ts";
import type { Session } from "../gpu/session.ts";
import { isBuffer } from "./rows.ts";

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
          `${what}: ${name} is a GPUBuffer that this device cannot read, because it was destroyed or another device made it: pass one of gpu.device that lives until the call ends`,
          { cause: new Error(problem) },
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
