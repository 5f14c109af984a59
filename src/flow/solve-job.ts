import type { Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import type { Job } from "../schedule/job.ts";
import { checkReadable } from "./readable-buffers.ts";
import { isBuffer } from "./rows.ts";
import type { FlowOnDevice } from "./shape.ts";
import { type TrajectoryRequest, trajectoryJob } from "./trajectory.ts";

/** A flow's solve as a job on a device, with the weights of this moment. */
export async function solveJob(flow: FlowOnDevice, session: Session, request: TrajectoryRequest): Promise<Job> {
  const engine = await flow.forwardEngine(request.precision);
  const isAdaptive = request.grid.adaptive !== undefined;
  const isProbed = request.logProb.kind !== "none" && request.divergence.mode.mode === "probes";
  const later = isAdaptive || isProbed ? await import("../ode/on-demand.ts") : undefined;
  const extras = { adaptive: isAdaptive ? later : undefined, probing: isProbed ? later : undefined };
  const { start, logProb, conditions, resident } = request;
  const { labels, context } = conditions;
  const given = logProb.kind === "forward" && logProb.start;
  const rows = { x: "rows" in start && start.rows, logProb: given, labels, context };
  const binding = session.device.limits.maxStorageBufferBindingSize;
  return jobOn(flow, session, request.what, rows, await engine.shared(session), (shared) => {
    const isResident = resident !== undefined && resident.size > 0;
    return { ...trajectoryJob(engine, request, shared, binding, extras), isResident };
  });
}

/** A job of a flow that reads `rows` of the caller, made by `make` of the packed weights in `shared`, which it gives back in the end. */
export async function jobOn(
  flow: FlowOnDevice,
  session: Session,
  what: string,
  rows: Readonly<Record<string, unknown>>,
  shared: Shared,
  make: (shared: Shared) => Job,
): Promise<Job> {
  try {
    const reads = Object.keys(rows).filter((name) => isBuffer(rows[name]));
    if (reads.length > 0) await checkReadable(session, what, rows);
    return { ...make(shared), reads, check: () => flow.assertAlive() };
  } catch (error) {
    shared.release();
    throw error;
  }
}
