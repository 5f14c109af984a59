import { judge } from "../../shaders/judge.ts";
import { plainSources, type SourceKernels } from "../../shaders/particles.ts";
import { hasParts } from "../../shaders/source-kinds.ts";
import { affineFloats } from "../data/units.ts";
import type { Dispatch, PlannedBuffer, Rounds } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import {
  type Chunk,
  conditionsAt,
  type DivergenceMode,
  type Engine,
  type Integration,
  integralsOf,
} from "../ode/engine.ts";
import { integrationBuffers, integrationOf } from "../ode/integration.ts";
import { seedKey } from "../random/philox.ts";
import type { ChunkPlan } from "../schedule/job.ts";
import { beginLogProb, type LogProbPlan, logScale, planLogProb } from "./log-prob.ts";
import { outputs, planOutputs } from "./outputs.ts";
import { joined, type Part } from "./part.ts";
import { affineBuffer, planDraws, planExport, planImport, sourceBuffers } from "./states.ts";
import type { Stochastic } from "./stochastic.ts";
import { tallyBuffer } from "./tally.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** What the chunks of a solve have in common. */
export interface Solve {
  readonly engine: Engine;
  readonly request: TrajectoryRequest;
  readonly integration: Integration;
  /** Numbers by which kernels change units, where there are data units. */
  readonly affine: Float32Array | undefined;
  readonly sources: SourceKernels;
  /** Steps with noise in place of those of the integration. */
  readonly stochastic: Stochastic | undefined;
  /** What plans adaptive steps, probes and the Jacobians of steps: loaded where there are any. */
  readonly later: typeof import("../ode/on-demand.ts") | undefined;
  /** What brings rows into a transform's space, where there is one. */
  readonly space: typeof import("./bound-states.ts") | undefined;
}

export async function solveOf(engine: Engine, request: TrajectoryRequest): Promise<Solve> {
  const { grid, logProb, divergence, normalization, source, transform, unitsOut } = request;
  const mode: DivergenceMode = logProb.kind === "none" ? { mode: "none" } : divergence.mode;
  const isLater = grid.adaptive || mode.mode === "probes" || mode.mode === "discrete" || hasParts(source.kind);
  const later = isLater ? await import("../ode/on-demand.ts") : undefined;
  const isBound = transform && (unitsOut !== "flow" || logProb.kind === "backward");
  const space = isBound ? await import("./bound-states.ts") : undefined;
  const affine = (normalization || space) && affineFloats(normalization, engine.dim);
  const sources = hasParts(source.kind) && later ? later.partSources : plainSources;
  const { sde } = request;
  const stochastic = sde && (await (await import("./stochastic.ts")).stochasticSolve(engine, request, sde));
  const integration = {
    ...(stochastic?.integration ?? integrationOf(grid, mode, later?.jacobianTexts)),
    total: request.count,
  };
  const own = space ? space.freed(request) : request;
  return { engine, request: own, integration, affine, sources, stochastic, later, space };
}

/** A chunk of a solve: its start, steps with states that are saved on the way, log p at the end, and what comes back. */
export function planTrajectory(solve: Solve, chunk: Chunk): ChunkPlan {
  const { engine, request, integration, space } = solve;
  const { logProb, unitsOut, save = [] } = request;
  const isForward = logProb.kind === "forward";
  const likelihood = likelihoodOf(solve, chunk);
  const steps = planSteps(solve, chunk, isForward ? likelihood?.base.name : undefined);
  const exported = (rows: string, offset = 0) =>
    space && unitsOut === "data"
      ? space.planBound(chunk, engine.dim, rows, offset)
      : planExport(chunk, engine.dim, rows, { offset, isData: changes(solve, unitsOut) });
  /** log p of the states of this moment, where it goes forward. */
  const finished = (plan: LogProbPlan, target: string, offset: number, standardError?: string) => [
    plan.finish(target, offset, standardError),
    ...(space ? space.planGain(chunk, engine.dim, isForward, target, offset) : []),
  ];
  const saved = save.map((at, k) => {
    const offset = k * chunk.count;
    const known = likelihood ? finished(likelihood, outputs.savedLogProb, offset) : [];
    return { at, dispatches: [...steps.reach(k), exported(outputs.saved, offset), ...known] };
  });
  const standardError = integralsOf(integration.divergence) > 1 ? outputs.standardError : undefined;
  const begin = joined([planStart(solve, chunk, likelihood), ...saved.filter(({ at }) => at === 0)]);
  const end = joined([
    { buffers: steps.buffers },
    ...saved.filter(({ at }) => at > 0),
    { dispatches: [...steps.reach(save.length), exported(outputs.x)] },
    likelihood && logProb.kind === "backward" && { dispatches: [likelihood.density] },
    likelihood && { dispatches: finished(likelihood, outputs.logProb, 0, standardError) },
    planResults(solve, chunk, steps.rounds !== undefined),
  ]);
  const buffers = [...begin.buffers, ...end.buffers];
  return steps.rounds
    ? { ...end, buffers, dispatches: begin.dispatches, rounds: steps.rounds, after: end.dispatches }
    : { ...end, buffers, dispatches: [...begin.dispatches, ...end.dispatches] };
}

const firstOf = ({ request }: Solve, chunk: Chunk) => (request.start.first ?? 0) + chunk.start;

/** Whether kernels change from or to these units. */
const changes = ({ affine }: Solve, units: TrajectoryRequest["unitsOut"]) => affine !== undefined && units === "data";

function likelihoodOf({ engine, request, integration, sources }: Solve, chunk: Chunk): LogProbPlan | undefined {
  const { source, logProb, normalization, unitsOut } = request;
  if (logProb.kind === "none") return undefined;
  const constant = unitsOut !== "flow" || logProb.kind === "backward" ? logScale(normalization) : 0;
  return planLogProb(source, engine.dim, integration.divergence, logProb.kind, constant, chunk, sources);
}

/** Rows of the caller or draws of the source, conditions, log p as far as it is known, probes. */
function planStart(solve: Solve, chunk: Chunk, likelihood: LogProbPlan | undefined): Part {
  const { engine, request, integration, affine, later, sources, stochastic, space } = solve;
  const { source, start, conditions, logProb, divergence, count: total } = request;
  const { dim } = engine;
  const first = firstOf(solve, chunk);
  const probes = { ...divergence, mode: integration.divergence, total, dim, chunk, first, key: seedKey(request.seed) };
  return joined([
    { buffers: [...integrationBuffers(engine, chunk, conditions, integration), ...sourceBuffers(source)] },
    affine && { buffers: [affineBuffer(affine)] },
    "rows" in start
      ? space && request.unitsIn === "data"
        ? space.planFree(start.rows, chunk, dim)
        : planImport(start.rows, chunk, dim, { isData: changes(solve, request.unitsIn) })
      : { dispatches: [planDraws(source, chunk, dim, first, start.seed, sources)] },
    space?.planSpace(request, chunk, dim),
    { dispatches: engine.begin(chunk, conditions, integration.stages > 0) },
    stochastic && { dispatches: stochastic.begin(chunk) },
    likelihood && beginLogProb(likelihood, logProb.kind === "forward" ? logProb.start : undefined, chunk),
    later?.planProbes(probes),
    request.wantStart && { dispatches: [planExport(chunk, dim, outputs.start)] },
  ]);
}

/** How states go through the grid, with stops at the times to save and at the end. */
interface Steps {
  readonly buffers: readonly PlannedBuffer[];
  /** What comes before the first stop behind the start, where particles have steps of their own. */
  readonly rounds?: Rounds;
  /** Has the states of stop `k` in "state"; stops are reached in their order. */
  reach(k: number): Dispatch[];
}

/** `base` names log p at the start, where it is known there. */
function planSteps(solve: Solve, chunk: Chunk, base: string | undefined): Steps {
  const { engine, request, integration, stochastic, later } = solve;
  const { grid, conditions, save = [] } = request;
  const { times, adaptive } = grid;
  const end = times.length - 1;
  if (later && adaptive && end > 0) {
    const { divergence } = integration;
    const own = later.adaptivePlan(engine, chunk, conditions, divergence, adaptive, times, save, base);
    return {
      ...own,
      reach(k) {
        if (k === save.length) return [own.restore(), own.report()];
        const at = item(save, k);
        return at > 0 ? [own.restore(k, at)] : [];
      },
    };
  }
  const stops = [0, ...save, end];
  return {
    buffers: stochastic?.buffers(chunk) ?? [],
    reach(k) {
      const [from, to] = [item(stops, k), item(stops, k + 1)];
      if (stochastic) return stochastic.steps(chunk, firstOf(solve, chunk), from, to);
      const dispatches: Dispatch[] = [];
      const of = (step: number) => conditionsAt(conditions, (item(times, step) + item(times, step + 1)) / 2);
      for (let first = from, last = from; first < to; first = last) {
        // steps of one guidance, together
        const own = of(first);
        while (last < to && of(last).guidance === own.guidance) last++;
        dispatches.push(...engine.integrate(chunk, own, integration, first, last));
      }
      return dispatches;
    },
  };
}

/** What comes back: the outputs and a count of those that are not finite, or only figures of them. */
function planResults(solve: Solve, chunk: Chunk, isAdaptive: boolean): Part {
  const { engine, request } = solve;
  const { dim } = engine;
  const { count, maxFlops } = chunk;
  const { x: rows, tally } = outputs;
  const results = planOutputs(dim, request, chunk);
  const status = isAdaptive ? outputs.status : undefined;
  const reduced = request.reduce?.(firstOf(solve, chunk), count, maxFlops, status);
  const logProb = request.logProb.kind === "none" ? undefined : outputs.logProb;
  const { buffer, output } = tallyBuffer(tally);
  const all = {
    buffers: [buffer],
    dispatches: [judge({ count, dim, rows, logProb, status, tally })],
    outputs: [...results.outputs, output],
  };
  const report = [
    { name: outputs.status, bytes: count * 4 },
    { name: outputs.totals, bytes: 12 },
  ];
  return joined([{ buffers: results.buffers }, isAdaptive && { outputs: report }, reduced ?? all]);
}
