import { PushforwardError } from "../errors.ts";
import type { BufferPool } from "../gpu/buffers.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import type { Session } from "../gpu/session.ts";
import { mebibytes } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { assemble, Figures } from "./collect.ts";
import { shapes } from "./outputs.ts";
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
    checkResultsFit(request, layout, session);
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

/** Each result is in one buffer on the device: throws, with the number of particles that fit, where one would be too large for it. */
function checkResultsFit(
  { what, count }: Pick<TrajectoryRequest, "what" | "count">,
  layout: ReturnType<typeof shapes>,
  { device }: Session,
): void {
  const room = largestBinding(device.limits);
  const widest = Math.max(0, ...Array.from(layout.values(), ({ floats, rows }) => floats * rows * 4));
  if (widest * count <= room) return;
  throw new PushforwardError(
    "out-of-memory",
    `${what}: ${count.toLocaleString("en-US")} particles of up to ${widest} bytes take a buffer of ${mebibytes(widest * count)}, but this device binds at most ${mebibytes(room)} to a kernel: with output "gpu", calls of up to ${Math.floor(room / widest).toLocaleString("en-US")} particles fit`,
  );
}
