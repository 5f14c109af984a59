import type { BufferPool } from "../gpu/buffers.ts";
import type { Session } from "../gpu/session.ts";
import type { RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { assemble, Figures, shapes } from "./results.ts";
import type { FlowOnDevice } from "./shape.ts";
import { solveJob } from "./solve-job.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** Runs a solve whose results stay on the device: in other buffers, from the first particle on, when one is lost. */
export async function collectOnDevice(flow: FlowOnDevice, request: TrajectoryRequest, options: RunOptions) {
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
    for await (const chunk of runJob(flow.gpu, request.count, makeJob, options))
      figures.take(chunk.outputs, chunk.start);
  } catch (error) {
    for (const buffer of resident.values()) pool?.release(buffer);
    throw error;
  }
  for (const buffer of resident.values()) pool?.give(buffer);
  // The same record with buffers in place of arrays: `Resident` describes it, the overloads of Flow hand it out.
  return assemble(request, resident as unknown as Map<string, Float32Array>, figures);
}
