import type { Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { chunkOf, integralsOf, largestChunk } from "../ode/engine.ts";
import { stateRows } from "../ode/integration.ts";
import type { Job } from "../schedule/job.ts";
import { checkReadable } from "./readable-buffers.ts";
import { isBuffer } from "./rows.ts";
import type { FlowOnDevice } from "./shape.ts";
import type { TrajectoryRequest } from "./trajectory.ts";
import { planTrajectory, type Solve, solveOf } from "./trajectory-plan.ts";

/** A flow's solve as a job on a device, with the weights of this moment. */
export async function solveJob(flow: FlowOnDevice, session: Session, request: TrajectoryRequest): Promise<Job> {
  await request.source.settled;
  const engine = await flow.forwardEngine(request.precision, plainEvaluations(request));
  const solve = await solveOf(engine, request);
  const { what, count, start, logProb, conditions, resident } = request;
  const { labels, context } = conditions;
  const given = logProb.kind === "forward" && logProb.start;
  const rows = { x: "rows" in start && start.rows, logProb: given, labels, context };
  const { widest, ...work } = workOf(solve);
  const binding = session.device.limits.maxStorageBufferBindingSize;
  const own = await engine.shared(session);
  const weights = (await solve.stochastic?.shared(session, own)) ?? own;
  return jobOn(flow, session, what, rows, weights, (shared) => ({
    ...work,
    what,
    family: `${engine.family}|${solve.stochastic ? "sde" : solve.integration.divergence.mode}`,
    count,
    largestChunk: largestChunk(binding, widest),
    isResident: resident !== undefined && resident.size > 0,
    shared,
    plan: (...chunk) => planTrajectory(solve, chunkOf(...chunk)),
  }));
}

/** Evaluations of the field in a solve on a fixed grid, without a divergence and without noise; 0 for others. */
function plainEvaluations({ count, logProb, grid, sde }: TrajectoryRequest): number {
  if (logProb.kind !== "none" || grid.adaptive || sde) return 0;
  return count * (grid.times.length - 1) * grid.tableau.b.length;
}

/** What a particle of a solve takes, and the floats of its widest buffer. */
function workOf({ engine, request, integration, stochastic, later }: Solve) {
  const { grid, start, wantStart, save = [] } = request;
  const { stages, freeStages, divergence: mode } = integration;
  const { dim } = engine;
  const { b } = grid.tableau;
  const saves = save.length;
  const tracks = mode.mode === "none" ? 0 : 1;
  const probes = integralsOf(mode);
  const weighted = stages > 0 ? (freeStages ? b.filter((weight) => weight !== 0).length : stages) : 0;
  const adaptive = grid.adaptive && later;
  const own = adaptive?.adaptiveFloats(dim, tracks * probes, saves, b.length) ?? { all: 0, widest: 0 };
  const scratch = engine.scratchFloats(mode, stages);
  const floats =
    dim * ("rows" in start ? 2 : 1) +
    dim * (wantStart ? 4 : 2) +
    2 * saves * (dim + tracks) +
    tracks * (6 + probes) +
    (mode.mode === "probes" ? probes * dim : 0) +
    scratch +
    (stateRows(dim, mode) - dim) +
    (stochastic?.floats ?? 0) +
    own.all;
  return {
    bytesPerParticle: floats * 4,
    flopsPerParticle: Math.max(
      stochastic?.flops ?? 1,
      (grid.times.length - 1) * (weighted * engine.divergenceFlops(mode) + (stages - weighted) * engine.flops),
      (adaptive?.expectedEvaluations ?? 0) * engine.divergenceFlops(mode),
    ),
    widest: Math.max(dim * Math.max(1, saves), stateRows(dim, mode), probes * dim, scratch, own.widest),
  };
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
