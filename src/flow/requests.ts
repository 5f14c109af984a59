import { readable } from "../arrays.ts";
import { ownRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { defaultSolver, saveIndices, timeGrid } from "../ode/grid.ts";
import { checkFinite, checkInteger, checkKeys, checkWord, show } from "../options.ts";
import { seedKey } from "../random/philox.ts";
import { checkConditions } from "./conditions.ts";
import {
  checkRunOptions,
  divergencePlan,
  type LogProbOptions,
  type PushOptions,
  type SampleOptions,
  type SampleOutput,
  solveKeys,
} from "./options.ts";
import { checkLength, type DataUnitRows, isBuffer, type Rows, rowCount } from "./rows.ts";
import { conditioning, type FlowShape } from "./shape.ts";
import type { LogProbMode, TrajectoryRequest } from "./trajectory.ts";

/** A time of the flow: finite and within [0, 1], because the field is defined nowhere else. */
export function flowTime(what: string, t: number): number {
  return checkFinite(what, t, 0, 1);
}

function solveRequest(
  flow: FlowShape,
  what: string,
  n: number,
  options: PushOptions,
  from: number,
  to: number,
  start: TrajectoryRequest["start"],
  logProb: LogProbMode,
): TrajectoryRequest {
  flow.assertAlive();
  checkRunOptions(what, options);
  if (options.output !== undefined) checkWord(`${what}: output`, options.output, ["cpu", "gpu"]);
  seedKey(options.seed ?? 0);
  const grid = timeGrid(what, options.solver ?? defaultSolver, from, to, options.saveAt);
  const precision = checkWord(`${what}: precision`, options.precision ?? "f32", ["f32", "f16"]);
  if (grid.adaptive && precision === "f16")
    throw invalid(
      `${what}: precision is "f16", but ${grid.tableau.name} would take its rounding for error: pass "f32", or fixed steps`,
    );
  return {
    what,
    count: n,
    source: flow.source,
    grid,
    start,
    save: saveIndices(what, grid, options.saveAt),
    logProb,
    divergence: divergencePlan(what, options.divergence, flow.dim, n),
    seed: options.seed ?? 0,
    conditions: checkConditions(what, options, n, conditioning(flow)),
    normalization: flow.normalization,
    unitsIn: "flow",
    unitsOut: "flow",
    wantStart: false,
    precision,
  };
}

/** The checked request of {@link Flow.push} and its stream. */
export function pushRequest(flow: FlowShape, what: string, rows: Rows, options: PushOptions): TrajectoryRequest {
  checkKeys(what, options, [...solveKeys, "from", "to", "saveAt", "logProb", "count"]);
  const x = readable(`${what}: x`, rows);
  const n = rowCount(what, "x", x, flow.dim, options.count);
  const from = flowTime(`${what}: from`, options.from ?? 0);
  const logProb = readable(`${what}: logProb`, options.logProb);
  let mode: LogProbMode = { kind: "none" };
  if (logProb instanceof Float32Array || isBuffer(logProb)) {
    checkLength(what, "logProb", logProb, n, 1, options.count);
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
  return solveRequest(flow, what, n, options, from, flowTime(`${what}: to`, options.to ?? 1), { rows: x }, mode);
}

/** The checked request of {@link Flow.sample} and of what draws samples; the first particle has index `first`. */
export function sampleRequest(
  flow: FlowShape,
  what: string,
  count: number,
  options: SampleOptions,
  first = 0,
  destinations: readonly SampleOutput[] = ["cpu", "gpu", "float64"],
): TrajectoryRequest {
  checkKeys(what, options, [...solveKeys, "to", "saveAt", "logProb"]);
  checkInteger(`${what}: count`, count, 0);
  if (options.logProb !== undefined && typeof options.logProb !== "boolean") {
    throw invalid(
      `${what}: logProb is ${show(options.logProb)}, but it is true or false: the source's log-density is known`,
    );
  }
  const seed = options.seed ?? 0;
  const mode: LogProbMode = options.logProb === true ? { kind: "forward", start: "source" } : { kind: "none" };
  const to = flowTime(`${what}: to`, options.to ?? 1);
  const { output, ...rest } = options;
  if (output !== undefined) checkWord(`${what}: output`, output, destinations);
  const request = solveRequest(flow, what, count, rest, 0, to, { seed, first }, mode);
  return { ...request, unitsOut: output === "float64" ? "data in f64" : "data", wantStart: true };
}

/** The checked request of {@link Flow.sampleStream}, whose results go to the host. */
export function sampleStreamRequest(flow: FlowShape, count: number, options: SampleOptions): TrajectoryRequest {
  return sampleRequest(flow, "sampleStream", count, options, 0, ["cpu", "float64"]);
}

/** The checked request of {@link Flow.logProb} and its stream. */
export function logProbRequest(
  flow: FlowShape,
  what: string,
  given: DataUnitRows,
  options: LogProbOptions,
): TrajectoryRequest {
  checkKeys(what, options, [...solveKeys, "at", "count"]);
  const x = readable(`${what}: x`, given);
  const n = rowCount(what, "x", x, flow.dim, options.count, "data");
  const at = flowTime(`${what}: at`, options.at ?? 1);
  const isDouble = x instanceof Float64Array;
  const rows = isDouble ? ownRows(x, flow.normalization) : x;
  const request = solveRequest(flow, what, n, options, at, 0, { rows }, { kind: "backward" });
  return { ...request, unitsIn: isDouble ? "flow" : "data" };
}
