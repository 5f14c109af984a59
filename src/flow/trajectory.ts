import { affineFloats } from "../data/units.ts";
import type { Dispatch, PlannedBuffer, Shared } from "../gpu/kernel.ts";
import { judge, tallyBuffer } from "../kernels/judge.ts";
import { drawSource, exportParticles, finishLogProb, importParticles, sourceDensity } from "../kernels/particles.ts";
import { type Chunk, type Conditions, type Engine, names } from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import { slice } from "../ode/slice.ts";
import { seedKey, streams } from "../random/philox.ts";
import type { ChunkOutput, ChunkPlan, Job } from "../schedule/job.ts";
import { schedule } from "../solvers/schedule.ts";
import type { DivergencePlan } from "./divergence.ts";
import type { Precision } from "./options.ts";
import type { Normalization, SourceSpec } from "./source.ts";

/** Which log-probability a solve carries. */
export type LogProbMode =
  /** None. */
  | { readonly kind: "none" }
  /** Known at the start: given per particle, or that of the source. Ends as log p at the end of the solve. */
  | { readonly kind: "forward"; readonly start: Float32Array | GPUBuffer | "source" }
  /** The solve ends at the source: log p at its start = log p_0(end) − integral. */
  | { readonly kind: "backward" };

/** Where the particles come from: rows of the caller, or draws from the source. The first particle has index `first`, default 0. */
export type Start =
  | { readonly rows: Float32Array | GPUBuffer; readonly first?: number }
  | { readonly seed: number; readonly first: number };

/** What is brought back of a chunk when only figures of it are wanted: planned on its outputs, which stay on the device; `status` names
 * how each particle's solve ended, where steps are adaptive. */
export type Reduce = (first: number, count: number, maxFlops: number, status: string | undefined) => ChunkPlan;

/** Everything about one solve of the flow for many particles. */
export interface TrajectoryRequest {
  readonly what: string;
  readonly count: number;
  readonly source: SourceSpec;
  readonly grid: TimeGrid;
  readonly start: Start;
  readonly save?: readonly number[] | undefined;
  readonly logProb: LogProbMode;
  readonly divergence: DivergencePlan;
  readonly seed: number;
  readonly conditions: Conditions;
  /** Data units on the way in, on the way out. */
  readonly normalization: Normalization | undefined;
  readonly unitsIn: "flow" | "data";
  /** `"data in f64"`: rows come back in the flow's own space, for the host to put them in data units; log p is that of these. */
  readonly unitsOut: "flow" | "data" | "data in f64";
  readonly wantStart: boolean;
  readonly precision: Precision;
  /** Brings back figures of the outputs `x` and `logProb` instead of the outputs. */
  readonly reduce?: Reduce | undefined;
  /** Buffers on the device for whole results, by output name; absent outputs go to the host. */
  readonly resident?: ReadonlyMap<string, GPUBuffer>;
}

/** Names of the outputs of a solve. */
export const outputs = {
  x: "x",
  start: "x0",
  logProb: "logProb",
  standardError: "standardError",
  saved: "saved",
  savedLogProb: "savedLogProb",
  tally: "tally",
  status: "status",
  totals: "adaptive totals",
} as const;

/** Particles a chunk is padded to: every tiling divides it. */
export const particleMultiple = 64;

/** Velocity evaluations per particle of a solve on a fixed grid. */
export function functionEvaluations({ tableau, times }: TimeGrid): number {
  return (times.length - 1) * tableau.b.length;
}

/** Log-density that the change to data units adds: −Σ log scale. */
export function logScale(normalization: Normalization | undefined): number {
  return normalization ? -normalization.scale.reduce((sum, s) => sum + Math.log(s), 0) : 0;
}

/** What plans adaptive solves and draws probes, loaded when it is first asked for. */
type Later = typeof import("../ode/on-demand.ts");

/** What a solve needs of it. */
export interface Extras {
  readonly adaptive: Later | undefined;
  readonly probing: Later | undefined;
}

/** The solve as a job: how each chunk of particles is uploaded, integrated, and brought back. */
export function trajectoryJob(
  engine: Engine,
  request: TrajectoryRequest,
  shared: Shared,
  maxBindingBytes: number,
  { adaptive, probing }: Extras,
): Job {
  const { grid, save, logProb, divergence, normalization } = request;
  const { dim } = engine;
  const tracks = logProb.kind !== "none";
  const mode = tracks ? divergence.mode : ({ mode: "none" } as const);
  const probes = mode.mode === "probes" ? mode.count : 1;
  const saves = save?.length ?? 0;
  const steps = grid.times.length - 1;
  const rule = grid.adaptive;
  // an adaptive solve has buffers and coefficients of its own for its stages
  const weights = rule ? [] : grid.tableau.b;
  const stages = weights.length;
  const weighted = weights.filter((b) => b !== 0).length;
  const table = rule ? new Float32Array(4) : schedule(grid);
  const integration = { stages, freeStages: weighted < stages, schedule: table, divergence: mode };
  const extra = adaptive?.adaptiveFloats(dim, tracks ? probes : 0, saves, grid.tableau.b.length) ?? {
    all: 0,
    widest: 0,
  };
  const widestRow = Math.max(dim * Math.max(1, saves), probes * dim, engine.scratchFloats(mode, stages), extra.widest);
  const affineRows = normalization && affineFloats(normalization, dim);
  const affine = (units: TrajectoryRequest["unitsOut"]) => (normalization && units === "data" ? "affine" : undefined);

  function plan(start: number, count: number, maxFlops: number): ChunkPlan {
    const capacity = Math.ceil(count / particleMultiple) * particleMultiple;
    const chunk: Chunk = { start, count, capacity, maxFlops };
    const buffers: PlannedBuffer[] = [
      { name: names.state, bytes: capacity * dim * 4 },
      { name: names.schedule, bytes: integration.schedule.byteLength, data: integration.schedule },
      { name: "source", bytes: request.source.rows.byteLength, data: request.source.rows },
      { name: outputs.x, bytes: count * dim * 4 },
      ...engine.buffers(chunk, request.conditions, mode, stages),
    ];
    const results: ChunkOutput[] = [];
    const result = (name: string, floats: number, rows = 1) => {
      const buffer = request.resident?.get(name);
      const bytes = floats * rows * 4;
      const piece = floats * 4;
      const pieces = Array.from({ length: rows }, (_, k) => ({
        from: k * piece,
        to: (k * request.count * (floats / count) + start * (floats / count)) * 4,
        bytes: piece,
      }));
      results.push({ name, bytes, ...(buffer && { resident: { buffer, pieces } }) });
    };
    const dispatches: Dispatch[] = [];
    const first = (request.start.first ?? 0) + start;
    if (affineRows) buffers.push({ name: "affine", bytes: affineRows.byteLength, data: affineRows });

    // Start: rows from the host, or draws from the source.
    if ("rows" in request.start) {
      buffers.push(slice("rows", request.start.rows, start, count, dim));
      dispatches.push(
        importParticles({ count, capacity, dim, rows: "rows", state: names.state, affine: affine(request.unitsIn) }),
      );
    } else {
      dispatches.push(
        drawSource({
          kind: request.source.kind,
          capacity,
          dim,
          first,
          key: seedKey(request.start.seed),
          stream: streams.source,
          source: "source",
          state: names.state,
        }),
      );
    }
    dispatches.push(...engine.begin(chunk, request.conditions, stages > 0));

    const density = () =>
      sourceDensity({
        kind: request.source.kind,
        capacity,
        dim,
        constant: request.source.constant,
        source: "source",
        state: names.state,
        density: "base",
      });
    if (tracks) {
      buffers.push({ name: names.integral, bytes: probes * capacity * 4, data: new Float32Array(probes * capacity) });
      buffers.push({ name: outputs.logProb, bytes: count * 4 });
      if (logProb.kind === "forward" && logProb.start !== "source") {
        buffers.push({ ...slice("base", logProb.start, start, count, 1), bytes: capacity * 4 });
      } else {
        buffers.push({ name: "base", bytes: capacity * 4 });
        if (logProb.kind === "forward") dispatches.push(density());
      }
    }
    const drawn = probing?.planProbes({ ...divergence, total: request.count, dim, chunk, first, seed: request.seed });
    if (drawn) {
      buffers.push(drawn.buffer);
      dispatches.push(...drawn.dispatches);
    }
    const exportTo = (rows: string, units: TrajectoryRequest["unitsOut"], offset = 0) =>
      exportParticles({ count, capacity, dim, state: names.state, rows, offset, affine: affine(units) });
    if (request.wantStart) {
      buffers.push({ name: outputs.start, bytes: count * dim * 4 });
      dispatches.push(exportTo(outputs.start, "flow"));
      result(outputs.start, count * dim);
    }

    // Steps, interrupted where a state is to be saved.
    const constant = request.unitsOut !== "flow" || logProb.kind === "backward" ? logScale(normalization) : 0;
    const finish = (target: string, offset: number, standardError?: string) =>
      finishLogProb({
        count,
        capacity,
        probes,
        sign: logProb.kind === "backward" ? -1 : 1,
        constant,
        offset,
        base: "base",
        integral: names.integral,
        logProb: target,
        standardError,
      });
    if (save) {
      buffers.push({ name: outputs.saved, bytes: saves * count * dim * 4 });
      if (tracks) buffers.push({ name: outputs.savedLogProb, bytes: saves * count * 4 });
    }
    const base = logProb.kind === "forward" ? "base" : undefined;
    const solve =
      steps > 0 &&
      rule &&
      adaptive?.adaptivePlan(engine, chunk, request.conditions, mode, rule, grid.times, save ?? [], base);
    const after: Dispatch[] = solve ? [] : dispatches;
    let step = 0;
    const advance = (to: number) => {
      if (to > step && !solve) after.push(...engine.integrate(chunk, request.conditions, integration, step, to));
      step = to;
    };
    for (const [k, at] of (save ?? []).entries()) {
      advance(at);
      const list = at === 0 ? dispatches : after;
      if (solve && at > 0) list.push(solve.restore(k, at));
      list.push(exportTo(outputs.saved, request.unitsOut, k * count));
      if (tracks) list.push(finish(outputs.savedLogProb, k * count));
    }
    advance(steps);
    if (solve) {
      buffers.push(...solve.buffers);
      after.push(solve.restore(), solve.report());
    }

    after.push(exportTo(outputs.x, request.unitsOut));
    result(outputs.x, count * dim);
    if (tracks) {
      if (logProb.kind === "backward") after.push(density());
      const standardError = probes > 1 ? outputs.standardError : undefined;
      if (standardError) {
        buffers.push({ name: standardError, bytes: count * 4 });
        result(standardError, count);
      }
      after.push(finish(outputs.logProb, 0, standardError));
      result(outputs.logProb, count);
    }
    if (save) {
      result(outputs.saved, count * dim, saves);
      if (tracks) result(outputs.savedLogProb, count, saves);
    }
    const status = solve ? outputs.status : undefined;
    const figures: ChunkOutput[] = [];
    if (solve) figures.push({ name: outputs.status, bytes: count * 4 }, { name: outputs.totals, bytes: 12 });
    const reduced = request.reduce?.(first, count, maxFlops, status);
    if (!reduced) {
      const tally = tallyBuffer(outputs.tally);
      buffers.push(tally.buffer);
      figures.push(tally.output);
      const of = tracks ? outputs.logProb : undefined;
      after.push(judge({ count, dim, rows: outputs.x, logProb: of, status, tally: outputs.tally }));
    } else {
      buffers.push(...reduced.buffers);
      after.push(...reduced.dispatches);
    }
    return {
      buffers,
      dispatches,
      ...(solve && { rounds: solve.rounds, after }),
      outputs: [...(reduced?.outputs ?? results), ...figures],
    };
  }

  const ownRows = "rows" in request.start ? 1 : 0;
  const copies = dim * (request.wantStart ? 4 : 2) + (tracks ? 4 : 0) + 2 * saves * (dim + (tracks ? 1 : 0));
  const floats =
    dim * (1 + ownRows) +
    copies +
    (tracks ? 1 + probes : 0) +
    (mode.mode === "probes" ? probes * dim : 0) +
    engine.scratchFloats(mode, stages) +
    extra.all;
  return {
    what: request.what,
    family: `${engine.family}|${mode.mode}`,
    count: request.count,
    bytesPerParticle: floats * 4,
    flopsPerParticle: Math.max(
      1,
      steps * (weighted * engine.divergenceFlops(mode) + (stages - weighted) * engine.flops),
      (adaptive?.expectedEvaluations ?? 0) * engine.divergenceFlops(mode),
    ),
    largestChunk: Math.max(1, Math.floor(maxBindingBytes / (widestRow * 4)) - particleMultiple),
    shared,
    plan,
  };
}
