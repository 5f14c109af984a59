import { readable } from "../arrays.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { type HostConditions, onHost } from "../flow/conditions.ts";
import type { LogProbOptions, SampleOptions } from "../flow/options.ts";
import {
  type Histogram,
  type HistogramOptions,
  histogramSummary,
  type MeanLogProb,
  type MomentOptions,
  type Moments,
  meanLogProbSummary,
  momentsSummary,
  type Summary,
} from "../flow/reductions.ts";
import { logProbRequest, sampleRequest } from "../flow/requests.ts";
import { conditioning, type FlowShape } from "../flow/shape.ts";
import type { TrajectoryRequest } from "../flow/trajectory.ts";
import { checkInteger, show } from "../options.ts";
import type { Arrays } from "./parcel.ts";
import type { CallName } from "./range-task.ts";
import type { Range } from "./ranges.ts";

/** How a call is spread. */
export interface SpreadOptions {
  /** Particles per range, rounded up to a multiple of 1024. Default: about eight ranges per worker. Results do not depend on it. */
  rangeSize?: number;
  /** Ranges that are under way or wait for the consumer at a time. Default: two per worker; six where all come back at once. */
  ahead?: number;
}

export type SpreadSampleOptions = Omit<SampleOptions, "output" | "chunkSize"> & SpreadOptions & { output?: "float64" };
export type SpreadLogProbOptions = Omit<LogProbOptions, "output" | "chunkSize" | "count"> & SpreadOptions;
export type SpreadMomentOptions = Omit<MomentOptions, "chunkSize"> & SpreadOptions;
export type SpreadHistogramOptions = Omit<HistogramOptions, "chunkSize"> & SpreadOptions;

/** A checked call: what every range needs, and what each one needs of its own. */
export interface SpreadCall {
  readonly what: CallName;
  readonly total: number;
  /** Bytes of results and inputs per particle, about. */
  readonly bytesPerParticle: number;
  readonly options: Record<string, unknown>;
  readonly spread: SpreadOptions;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: SampleOptions["onProgress"];
  /** What belongs to the particles of a range. */
  input(range: Range): Arrays;
}

function split<O extends SpreadOptions & Pick<SampleOptions, "signal" | "onProgress">>(what: string, options: O) {
  for (const name of ["output", "chunkSize", "count"]) {
    // in which units samples come is no matter of where
    if (name in options && !(what.startsWith("sample") && options[name as keyof O] === "float64"))
      throw invalid(`${what}: ${name} is ${show(options[name as keyof O])}, but the workers choose it: leave it out`);
  }
  const { rangeSize, ahead, signal, onProgress, ...rest } = options;
  if (rangeSize !== undefined) checkInteger(`${what}: rangeSize`, rangeSize, 1);
  if (ahead !== undefined) checkInteger(`${what}: ahead`, ahead, 1);
  const spread: SpreadOptions = { ...(rangeSize && { rangeSize }), ...(ahead && { ahead }) };
  const running = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  return { rest, spread, signal, onProgress, running };
}

/** The options without the arrays that belong to particles, as JSON can hold them. */
function plain({ labels, context, divergence, ...rest }: Record<string, unknown>): Record<string, unknown> {
  const { vectors, ...probing } = typeof divergence === "object" ? (divergence as { vectors?: unknown }) : {};
  const told = vectors === undefined ? divergence : probing;
  const all = { ...rest, ...(told !== undefined && { divergence: told }) };
  return JSON.parse(
    JSON.stringify(all, (_, value) => (ArrayBuffer.isView(value) ? [...(value as Float64Array)] : value)),
  );
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
  return {
    ...(rows && { x: part(rows, dim) }),
    ...(labels && { labels: part(labels, 1) }),
    ...(values && { context: part(values, context) }),
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
  options: Record<string, unknown>,
  { spread, signal, onProgress }: Pick<SpreadCall, "spread" | "signal" | "onProgress">,
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
    bytesPerParticle: 4 * floats,
    options: plain(options),
    spread,
    signal,
    onProgress,
    input: (range) => rowsOf(request, rows, range, shape.dim, context),
  };
}

/** Checks a call of `sample` as {@link Flow.sample} does. */
export function sampleCall(shape: FlowShape, what: string, count: number, options: SpreadSampleOptions): SpreadCall {
  const { rest, running, ...others } = split(what, options);
  const request = sampleRequest(shape, what, count, { ...rest, ...running });
  return finish(shape, "sample", request, rest, others);
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
  const { rest, running, ...others } = split(what, options);
  const request = logProbRequest(shape, what, x, { ...rest, ...running });
  return finish(shape, "logProb", request, rest, others, x);
}

/** A checked call that brings back sums, and what puts those together. */
export interface SummaryCall<T> {
  readonly call: SpreadCall;
  readonly summary: Summary<T>;
}

/** Checks a call of `moments` as {@link Flow.moments} does. */
export function momentsCall(shape: FlowShape, count: number, options: SpreadMomentOptions): SummaryCall<Moments> {
  const { rest, running, ...others } = split("moments", options);
  const summary = momentsSummary(shape, count, { ...rest, ...running });
  return { summary, call: finish(shape, "moments", summary.request, rest, others) };
}

/** Checks a call of `histogram` as {@link Flow.histogram} does. */
export function histogramCall(
  shape: FlowShape,
  count: number,
  options: SpreadHistogramOptions,
): SummaryCall<Histogram> {
  const { rest, running, ...others } = split("histogram", options);
  const summary = histogramSummary(shape, count, { ...rest, ...running });
  return { summary, call: finish(shape, "histogram", summary.request, rest, others) };
}

/** Checks a call of `meanLogProb` of rows as {@link Flow.meanLogProb} does. */
export function meanLogProbCall(
  shape: FlowShape,
  given: DataRows,
  options: SpreadLogProbOptions,
): SummaryCall<MeanLogProb> {
  const x = checkArray("meanLogProb", shape, given);
  const { rest, running, ...others } = split("meanLogProb", options);
  const summary = meanLogProbSummary(shape, x, { ...rest, ...running });
  return { summary, call: finish(shape, "meanLogProb", summary.request, rest, others, x) };
}

/** The options of a range on a worker: the JSON, and the arrays that belong to its particles. */
export function rangeOptions(
  plainOptions: Readonly<Record<string, unknown>>,
  { labels, context, vectors }: Arrays,
): Record<string, unknown> {
  const { divergence } = plainOptions;
  return {
    ...plainOptions,
    ...(labels && { labels }),
    ...(context && { context }),
    ...(vectors && typeof divergence === "object" && { divergence: { ...divergence, vectors } }),
  };
}
