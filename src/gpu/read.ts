import { PushforwardError } from "../errors.ts";
import type { Session } from "./session.ts";

/** Copies the first `bytes` of a buffer to the host, on its own submit. */
export async function readBack(session: Session, buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  const staging = await session.buffers.acquire(bytes, "staging", "read-back");
  try {
    const encoder = session.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, align(bytes));
    session.device.queue.submit([encoder.finish()]);
    return await mapCopy(session, staging, bytes);
  } finally {
    session.buffers.release(staging);
  }
}

/** Maps a staging buffer, copies what is in it, unmaps it. */
export async function mapCopy(session: Session, staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  try {
    await staging.mapAsync(1, 0, align(bytes));
  } catch (cause) {
    if (session.isDisposed || (await session.hasGone())) throw session.lostError(cause);
    throw new PushforwardError(
      "out-of-memory",
      `a result of ${bytes} bytes could not be mapped into the host's memory: pass a smaller chunkSize (${String(cause)})`,
      { cause },
    );
  }
  const copy = staging.getMappedRange(0, align(bytes)).slice(0, bytes);
  staging.unmap();
  return copy;
}

/** Copies and maps go in multiples of four bytes. */
export function align(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
