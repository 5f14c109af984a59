import { invalid } from "../errors.ts";
import type { BufferPool } from "../gpu/buffers.ts";
import type { Session } from "../gpu/session.ts";
import type { RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import type { Flow } from "./flow.ts";
import { checkRunOptions } from "./options.ts";
import { assemble, Figures, shapes } from "./results.ts";
import { isBuffer } from "./rows.ts";
import { solveJob } from "./solve-job.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** Runs a solve whose results stay on the device: in other buffers, from the first particle on, when one is lost. */
export async function collectOnDevice(flow: Flow, request: TrajectoryRequest, options: RunOptions) {
  const layout = shapes(flow.dim, request);
  const resident = new Map<string, GPUBuffer>();
  let figures = new Figures(request, request.count);
  let pool: BufferPool | undefined;
  const makeJob = async (session: Session) => {
    for (const buffer of resident.values()) pool?.release(buffer);
    resident.clear();
    pool = session.buffers;
    figures = new Figures(request, request.count);
    for (const [name, { floats, rows }] of layout) {
      const bytes = Math.max(16, floats * rows * request.count * 4);
      resident.set(name, await pool.acquire(bytes, "storage", `${request.what}: ${name}`, true));
    }
    return solveJob(flow, session, { ...request, resident });
  };
  try {
    for await (const chunk of runJob(flow.gpu, request.count, makeJob, checkRunOptions(request.what, options)))
      figures.take(chunk.outputs, chunk.start);
  } catch (error) {
    for (const buffer of resident.values()) pool?.release(buffer);
    throw error;
  }
  for (const buffer of resident.values()) pool?.give(buffer);
  // The same record with buffers in place of arrays: `Resident` describes it, the overloads of Flow hand it out.
  return assemble(request, resident as unknown as Map<string, Float32Array>, figures);
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
