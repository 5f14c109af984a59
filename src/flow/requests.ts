import { readable } from "../arrays.ts";
import { warnOfF32 } from "../data/resolution.ts";
import { ownRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { defaultSolver, type Solver, saveIndices, timeGrid } from "../ode/grid.ts";
import { checked } from "../options/schema.ts";
import { checkInteger, show } from "../options.ts";
import { checkConditions } from "./conditions.ts";
import { discretePlan, divergencePlan } from "./divergence.ts";
import {
  type CheckedLogProb,
  type CheckedSample,
  type CheckedSolve,
  logProbFields,
  pushFields,
  sampleFields,
  sampleStreamFields,
} from "./fields.ts";
import type { LogProbOptions, PushOptions, SampleOptions } from "./options.ts";
import { checkLength, type DataUnitRows, isBuffer, type Rows, rowCount } from "./rows.ts";
import { conditioning, type FlowShape } from "./shape.ts";
import { checkDensity } from "./source.ts";
import type { LogProbMode, TrajectoryRequest } from "./trajectory.ts";

function solveRequest(
  flow: FlowShape,
  what: string,
  n: number,
  options: Omit<CheckedSolve, "output"> & Pick<PushOptions, "saveAt" | "sde">,
  from: number,
  to: number,
  start: TrajectoryRequest["start"],
  logProb: LogProbMode,
): TrajectoryRequest {
  flow.assertAlive();
  if (logProb.kind === "backward" || (logProb.kind === "forward" && logProb.start === "source"))
    checkDensity(what, flow.source);
  const { precision, seed, saveAt, objective, guidanceInterval, sde } = options;
  const solver: Solver = sde && options.solver === defaultSolver ? { method: "heun2", steps: 100 } : options.solver;
  const grid = timeGrid(what, solver, from, to, saveAt);
  if (grid.adaptive && precision === "f16")
    throw invalid(
      `${what}: precision is "f16", but ${grid.tableau.name} would take its rounding for error: pass "f32", or fixed steps`,
    );
  if (grid.adaptive && guidanceInterval)
    throw invalid(
      `${what}: guidanceInterval is for fixed steps, but the solver is ${grid.tableau.name}: leave one out`,
    );
  return {
    what,
    count: n,
    source: flow.source,
    grid,
    start,
    save: saveIndices(what, grid, saveAt),
    logProb,
    divergence:
      objective === "discrete"
        ? discretePlan(what, options.divergence, flow.dim, grid, precision === "f16" ? `precision is "f16"` : undefined)
        : divergencePlan(what, options.divergence, flow.dim, n),
    seed,
    conditions: {
      ...checkConditions(what, options, n, conditioning(flow), true),
      ...(guidanceInterval && { isMixed: true, interval: guidanceInterval }),
    },
    normalization: flow.normalization,
    transform: flow.transform,
    unitsIn: "flow",
    unitsOut: "flow",
    wantStart: false,
    precision,
    sde,
  };
}

/** The checked request of {@link Flow.push} and its stream. */
export function pushRequest(flow: FlowShape, what: string, rows: Rows, options: PushOptions): TrajectoryRequest {
  const o = checked(what, pushFields, options);
  const { from, to, logProb, count } = o;
  const x = readable(`${what}: x`, rows);
  const n = rowCount(what, "x", x, flow.dim, count);
  let mode: LogProbMode = { kind: "none" };
  if (logProb instanceof Float32Array || isBuffer(logProb)) {
    checkLength(what, "logProb", logProb, n, 1, count);
    mode = { kind: "forward", start: logProb };
  } else if (logProb === true) {
    if (from !== 0) {
      throw invalid(
        `${what}: logProb is true, but at from = ${from} only the caller can know log p: pass it as a Float32Array [n] (logProb(x, { at: ${from} }) computes it)`,
      );
    }
    mode = { kind: "forward", start: "source" };
  } else if (logProb !== undefined && logProb !== false) {
    throw invalid(
      `${what}: logProb is ${show(logProb)}, but it is a Float32Array [n] or a GPUBuffer of as many, true or false`,
    );
  }
  return solveRequest(flow, what, n, o, from, to, { rows: x }, mode);
}

/** The checked request of {@link Flow.sample}; the first particle has index `first`. */
export function sampleRequest(
  flow: FlowShape,
  what: string,
  count: number,
  options: SampleOptions,
  first = 0,
): TrajectoryRequest {
  return rowsRequest(flow, what, count, checked(what, sampleFields, options), first);
}

/** The checked request of {@link Flow.sampleStream}. */
export function sampleStreamRequest(flow: FlowShape, count: number, options: SampleOptions): TrajectoryRequest {
  const what = "sampleStream";
  return rowsRequest(flow, what, count, checked(what, sampleStreamFields, options), 0);
}

/** Of samples that come back as they are. */
function rowsRequest(...given: Parameters<typeof drawRequest>): TrajectoryRequest {
  const [flow, what, , { output }] = given;
  const request = drawRequest(...given);
  if (output !== "float64" && !flow.transform) warnOfF32(what, flow.normalization);
  return request;
}

/** The request of what draws samples, from options that are checked. */
export function drawRequest(
  flow: FlowShape,
  what: string,
  count: number,
  options: CheckedSample,
  first: number,
): TrajectoryRequest {
  checkInteger(`${what}: count`, count, 0);
  const { output, seed, to, logProb, ...rest } = options;
  const mode: LogProbMode = logProb === true ? { kind: "forward", start: "source" } : { kind: "none" };
  const request = solveRequest(flow, what, count, { ...rest, seed }, 0, to, { seed, first }, mode);
  return { ...request, unitsOut: output === "float64" ? "data in f64" : "data", wantStart: true };
}

/** The checked request of {@link Flow.logProb} and its stream. */
export function logProbRequest(
  flow: FlowShape,
  what: string,
  given: DataUnitRows,
  options: LogProbOptions,
): TrajectoryRequest {
  return scoreRequest(flow, what, given, checked(what, logProbFields, options));
}

/** The request of what evaluates log p, from options that are checked. */
export function scoreRequest(
  flow: FlowShape,
  what: string,
  given: DataUnitRows,
  options: CheckedLogProb,
): TrajectoryRequest {
  const { at, count } = options;
  const x = readable(`${what}: x`, given);
  const n = rowCount(what, "x", x, flow.dim, count, "data");
  const isDouble = x instanceof Float64Array && !flow.transform;
  // what a transform does to them comes later: a copy, since they are the caller's
  const own = flow.transform && !isBuffer(x) ? x.slice() : x;
  const rows = isDouble ? ownRows(x, flow.normalization) : (own as Float32Array | GPUBuffer);
  const request = solveRequest(flow, what, n, options, at, 0, { rows }, { kind: "backward" });
  if (!isDouble && !flow.transform) warnOfF32(what, flow.normalization);
  return { ...request, unitsIn: isDouble ? "flow" : "data" };
}
