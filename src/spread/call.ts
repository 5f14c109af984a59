import { readable } from "../arrays.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { histogramFields, meanLogProbFields, momentFields } from "../flow/analysis-fields.ts";
import { type HostConditions, onHost } from "../flow/conditions.ts";
import { logProbFields, sampleFields } from "../flow/fields.ts";
import { loadFlow } from "../flow/file.ts";
import type {
  HistogramOptions,
  LogProbOptions,
  MomentOptions,
  SampleOptions,
  ScoreField,
  StochasticOptions,
} from "../flow/options.ts";
import {
  type Histogram,
  histogramSummary,
  type MeanLogProb,
  type Moments,
  meanLogProbSummary,
  momentsSummary,
  type Summary,
} from "../flow/reductions.ts";
import { logProbRequest, sampleRequest } from "../flow/requests.ts";
import { conditioning, type FlowShape } from "../flow/shape.ts";
import type { TrajectoryRequest } from "../flow/trajectory.ts";
import { checked, integer, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { carriedNoise } from "./noise.ts";
import type { Arrays } from "./parcel.ts";
import type { CallName } from "./range-task.ts";
import type { Range } from "./ranges.ts";
import { optionsOfCall, type TravellingFields } from "./travelling.ts";

/** How a call is spread. */
export interface SpreadOptions {
  /** Particles per range, rounded up to a multiple of 1024. Default: about eight ranges per worker. Results do not depend on it. */
  rangeSize?: number;
  /** Ranges that are under way or wait for the consumer at a time. Default: two per worker; six where all come back at once. */
  ahead?: number;
}

/** Noise of a call that workers share: the score is a flow of its own, or the bytes of its file. */
type SpreadNoise = Omit<StochasticOptions, "score"> & { score?: ScoreField | Uint8Array };
type Noisy = { sde?: SpreadNoise };

export type SpreadSampleOptions = Omit<SampleOptions, "output" | "chunkSize" | "sde"> &
  Noisy &
  SpreadOptions & { output?: "float64" };
export type SpreadLogProbOptions = Omit<LogProbOptions, "output" | "chunkSize" | "count"> & SpreadOptions;
export type SpreadMomentOptions = Omit<MomentOptions, "chunkSize" | "sde"> & Noisy & SpreadOptions;
export type SpreadHistogramOptions = Omit<HistogramOptions, "chunkSize" | "sde"> & Noisy & SpreadOptions;

/** A checked call: what every range needs, and what each one needs of its own. */
export interface SpreadCall {
  readonly what: CallName;
  readonly total: number;
  /** Stages of its solver. */
  readonly stages: number;
  /** Bytes of results and inputs per particle, about. */
  readonly bytesPerParticle: number;
  readonly options: Record<string, unknown>;
  readonly spread: SpreadOptions;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: SampleOptions["onProgress"];
  /** What belongs to the particles of a range. */
  input(range: Range): Arrays;
}

const spreadFields = {
  rangeSize: { check: integer(1) },
  ahead: { check: integer(1) },
} satisfies Schema<SpreadOptions>;

/** The options of each call, on this side and on the workers'. */
export const fieldsOf = {
  sample: sampleFields,
  logProb: logProbFields,
  moments: momentFields,
  histogram: histogramFields,
  meanLogProb: meanLogProbFields,
} satisfies Record<CallName, TravellingFields>;

/** Options that no call of workers takes, because it is for them to choose. */
const chosenByWorkers = new Set(
  Object.values<TravellingFields>(fieldsOf).flatMap((fields) =>
    Object.keys(fields).filter((name) => fields[name]?.travels === "refused"),
  ),
);

/** Parts the options of a call from how it is spread. */
function split<O extends SpreadOptions & Noisy & Pick<SampleOptions, "signal" | "onProgress">>(
  what: string,
  options: O,
) {
  for (const name of chosenByWorkers) {
    // in which units samples come is no matter of where
    if (name in options && !(what.startsWith("sample") && options[name as keyof O] === "float64"))
      throw invalid(`${what}: ${name} is ${show(options[name as keyof O])}, but the workers choose it: leave it out`);
  }
  const { rangeSize, ahead, sde, ...rest } = options;
  const own = { ...rest, ...(sde !== undefined && { sde: noiseWithScore(sde) }) };
  const given = { ...(rangeSize !== undefined && { rangeSize }), ...(ahead !== undefined && { ahead }) };
  return { own, spread: checked(what, spreadFields, given) };
}

/** The noise with a stand-in for a score that is a file, which is a flow on the workers alone. */
function noiseWithScore(sde: SpreadNoise): StochasticOptions {
  // what is no record is told with the other options
  const score = sde?.score;
  if (!(score instanceof Uint8Array)) return sde as StochasticOptions;
  const onWorkers = () => {
    throw new Error("this score is on the workers");
  };
  const standIn = { dim: loadFlow(score).velocity.dim, velocity: onWorkers, forwardEngine: onWorkers };
  return { ...sde, score: standIn };
}

/** The rows of a range out of arrays [n, width] and [probes, n, dim]. */
function rowsOf(
  request: TrajectoryRequest,
  rows: DataRows | undefined,
  { start, count }: Range,
  dim: number,
  context: number,
): Arrays {
  // checked when the call began
  const { labels, context: values } = request.conditions as HostConditions;
  const { vectors } = request.divergence;
  const part = <T extends DataRows | Uint32Array>(all: T, width: number) =>
    all.subarray(start * width, (start + count) * width) as T;
  // a single row may be that of all particles
  const conditions = <T extends Float32Array | Uint32Array>(all: T, width: number) =>
    all.length === width ? all : part(all, width);
  return {
    ...(rows && { x: part(rows, dim) }),
    ...(labels && { labels: conditions(labels, 1) }),
    ...(values && { context: conditions(values, context) }),
    ...(vectors && { vectors: partOfEach(vectors, request.count, { start, count }, dim) }),
  };
}

/** The rows of a range from each of the planes of [planes, n, width]. */
function partOfEach(all: Float32Array, n: number, { start, count }: Range, width: number): Float32Array {
  const planes = all.length / (n * width);
  const part = new Float32Array(planes * count * width);
  for (let k = 0; k < planes; k++) {
    const from = (k * n + start) * width;
    part.set(all.subarray(from, from + count * width), k * count * width);
  }
  return part;
}

function finish(
  shape: FlowShape,
  what: CallName,
  request: TrajectoryRequest,
  options: RunOptions,
  spread: SpreadOptions,
  rows?: DataRows,
): SpreadCall {
  const { context } = conditioning(shape);
  onHost(what, request.conditions);
  const probes = request.divergence.vectors ? request.divergence.vectors.length / Math.max(1, request.count) : 0;
  const states = 1 + (request.save?.length ?? 0);
  const floats = shape.dim * (2 + (request.unitsOut === "data in f64" ? 2 : 1) * states) + 4 + context + probes;
  return {
    what,
    total: request.count,
    stages: request.grid.tableau.b.length,
    bytesPerParticle: 4 * floats,
    options: {
      ...optionsOfCall(fieldsOf[what], options),
      ...(request.sde && { sde: carriedNoise(request, shape.dim, request.sde) }),
    },
    spread,
    signal: options.signal,
    onProgress: options.onProgress,
    input: (range) => rowsOf(request, rows, range, shape.dim, context),
  };
}

/** Checks a call of `sample` as {@link Flow.sample} does. */
export function sampleCall(shape: FlowShape, what: string, count: number, options: SpreadSampleOptions): SpreadCall {
  const { own, spread } = split(what, options);
  return finish(shape, "sample", sampleRequest(shape, what, count, own), own, spread);
}

function checkArray(what: string, shape: FlowShape, given: DataRows): DataRows {
  const x = readable(`${what}: x`, given);
  if (x instanceof Float32Array || x instanceof Float64Array) return x;
  throw invalid(
    `${what}: x is ${show(x)}, but rows that travel to workers are a Float32Array or Float64Array [n, ${shape.dim}]`,
  );
}

/** Checks a call of `logProb` as {@link Flow.logProb} does; x is an array, because buffers stay on their device. */
export function logProbCall(
  shape: FlowShape,
  what: string,
  given: DataRows,
  options: SpreadLogProbOptions,
): SpreadCall {
  const x = checkArray(what, shape, given);
  const { own, spread } = split(what, options);
  return finish(shape, "logProb", logProbRequest(shape, what, x, own), own, spread, x);
}

/** A checked call that brings back sums, and what puts those together. */
export interface SummaryCall<T> {
  readonly call: SpreadCall;
  readonly summary: Summary<T>;
}

/** Checks a call of `moments` as {@link Flow.moments} does. */
export function momentsCall(shape: FlowShape, count: number, options: SpreadMomentOptions): SummaryCall<Moments> {
  const { own, spread } = split("moments", options);
  const summary = momentsSummary(shape, count, own);
  return { summary, call: finish(shape, "moments", summary.request, own, spread) };
}

/** Checks a call of `histogram` as {@link Flow.histogram} does. */
export function histogramCall(
  shape: FlowShape,
  count: number,
  options: SpreadHistogramOptions,
): SummaryCall<Histogram> {
  const { own, spread } = split("histogram", options);
  const summary = histogramSummary(shape, count, own);
  return { summary, call: finish(shape, "histogram", summary.request, own, spread) };
}

/** Checks a call of `meanLogProb` of rows as {@link Flow.meanLogProb} does. */
export function meanLogProbCall(
  shape: FlowShape,
  given: DataRows,
  options: SpreadLogProbOptions,
): SummaryCall<MeanLogProb> {
  const x = checkArray("meanLogProb", shape, given);
  const { own, spread } = split("meanLogProb", options);
  const summary = meanLogProbSummary(shape, x, own);
  return { summary, call: finish(shape, "meanLogProb", summary.request, own, spread, x) };
}
