import { readable } from "../arrays.ts";
import { checkResolution } from "../data/grid-resolution.ts";
import { ownValue } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { checked } from "../options/schema.ts";
import { checkInteger, checkSingle, show } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { histogramFields, meanLogProbFields, momentFields } from "./analysis-fields.ts";
import { HistogramSum, MomentSum, type Reduction, reduceSolve, together } from "./block-reductions.ts";
import type { HistogramOptions, LogProbOptions, MomentOptions } from "./options.ts";
import { outputs } from "./outputs.ts";
import { drawRequest, scoreRequest } from "./requests.ts";
import type { DataUnitRows } from "./rows.ts";
import type { FlowOnDevice, FlowShape } from "./shape.ts";
import type { Normalization } from "./source.ts";
import { checkStreamOptions, chunksOf, isRows, partsOf, type StreamChunks } from "./streams.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

export interface Histogram {
  /** [bins[1], bins[0]]: row y, column x. */
  counts: Uint32Array;
  /** Samples that are in no bin, those of the next two counts included. */
  outside: number;
  /** Samples with a NaN or an infinity. */
  nonFinite: number;
  /** Finite samples whose adaptive solve did not end; see {@link solveStatus}. */
  unfinished: number;
}

export interface Moments {
  /** [dim], in data units. */
  mean: Float64Array;
  /** [dim, dim], row-major; divided by count − 1. */
  covariance: Float64Array;
  /** Finite samples whose solve ended, which all of this is about. */
  count: number;
  /** Samples with a NaN or an infinity, which are left out. */
  nonFinite: number;
  /** Finite samples whose adaptive solve did not end, which are left out; see {@link solveStatus}. */
  unfinished: number;
  /** Of log p at the samples, when it was asked for. */
  logProb?: MeanLogProb;
}

/** Figures of log p of many particles. */
export interface MeanLogProb {
  /** Mean of log p over the particles of `count`, in nats; NaN where there are none. */
  mean: number;
  /** Of that mean, from the spread of log p: its standard deviation over √count; NaN below two particles. */
  standardError: number;
  /** Particles whose log p is finite and whose solve ended. */
  count: number;
  /** Particles whose log p is NaN or infinite (−∞ where the density is 0), which are left out. */
  nonFinite: number;
  /** Particles with a finite log p whose adaptive solve did not end, which are left out; see {@link solveStatus}. */
  unfinished: number;
}

/** A reduction of a solve: what is summed up, and what the sums say in the end. */
export interface Summary<T> {
  readonly request: TrajectoryRequest;
  readonly reduction: Reduction;
  result(): T;
}

async function summarise<T>(
  flow: FlowOnDevice,
  { request, reduction, result }: Summary<T>,
  options: RunOptions,
): Promise<T> {
  await reduceSolve(flow, request, reduction, options);
  return result();
}

/** The checked summary of {@link Flow.histogram}; the first particle has index `first`. */
export function histogramSummary(flow: FlowShape, count: number, o: HistogramOptions, first = 0): Summary<Histogram> {
  const what = "histogram";
  const { axes = [0, Math.min(1, flow.dim - 1)], bins, range, ...options } = checked(what, histogramFields, o);
  if (!Array.isArray(axes) || axes.length !== 2)
    throw invalid(`${what}: axes is ${show(axes)}, but it is two of the ${flow.dim} axes`);
  if (!Array.isArray(bins) || bins.length !== 2)
    throw invalid(`${what}: bins is ${show(bins)}, but it is a count for each of two axes`);
  if (!Array.isArray(range) || range.length !== 2)
    throw invalid(`${what}: range is ${show(range)}, but it is [low, high] for each of two axes`);
  const offset = farOffset(flow);
  const along = [0, 1].map((k) => {
    const axis = checkInteger(`${what}: axes[${k}]`, axes[k], 0, flow.dim - 1);
    const number = checkInteger(`${what}: bins[${k}]`, bins[k], 1, 65536);
    const ends: unknown = range[k];
    if (!(Array.isArray(ends) || ArrayBuffer.isView(ends)))
      throw invalid(`${what}: range[${k}] is ${show(ends)}, but it is [low, high]`);
    const given = readable(`${what}: range[${k}]`, ends) as ArrayLike<unknown>;
    const low = checkSingle(`${what}: range[${k}][0]`, given[0]);
    const high = checkSingle(`${what}: range[${k}][1]`, given[1]);
    if (!(low < high)) throw invalid(`${what}: range[${k}] is [${low}, ${high}], but low is less than high`);
    checkResolution(`${what}: range[${k}]`, [low, high], number, "bins", offset, axis);
    const own = (value: number) => ownValue(value, offset, axis);
    return { axis, bins: number, low: own(low), high: own(high) };
  });
  const [x, y] = along;
  if (!x || !y) throw new Error("a histogram has two axes");
  if (x.bins * y.bins > 2 ** 24)
    throw invalid(`${what}: ${x.bins} × ${y.bins} bins are more than ${2 ** 24}: use fewer`);
  const sum = new HistogramSum(flow.dim, x, y);
  return {
    request: sumRequest(drawRequest(flow, what, count, options, first), offset),
    reduction: sum,
    result: () => ({ counts: sum.counts, outside: sum.outside, ...sum.tally }),
  };
}

/** The map to data units of a flow where it is affine: samples in a transform's space are summed up as they are. */
const affineOf = ({ normalization, transform }: FlowShape) => (transform ? undefined : normalization);

/** Means beyond so many scales take digits of f32 that a sum of samples would miss. */
const farScales = 64;

/** The normalization of a flow whose samples are summed up in its own space, because in data units a large mean would take their digits. */
function farOffset(flow: FlowShape): Normalization | undefined {
  const normalization = affineOf(flow);
  const isFar = normalization?.mean.some((mean, i) => Math.abs(mean) > farScales * item(normalization.scale, i));
  return isFar ? normalization : undefined;
}

/** Samples for sums, with `offset` in the flow's own space; log p is that of data units. */
function sumRequest(request: TrajectoryRequest, offset: Normalization | undefined): TrajectoryRequest {
  return { ...request, wantStart: false, ...(offset && { unitsOut: "data in f64" }) };
}

/** See {@link Flow.histogram}. */
export async function histogram(flow: FlowOnDevice, count: number, o: HistogramOptions): Promise<Histogram> {
  return summarise(flow, histogramSummary(flow, count, o), o);
}

/** The checked summary of {@link Flow.moments}; the first particle has index `first`. */
export function momentsSummary(flow: FlowShape, count: number, o: MomentOptions, first = 0): Summary<Moments> {
  const what = "moments";
  const options = checked(what, momentFields, o);
  const sum = new MomentSum(flow.dim, outputs.x);
  const likelihood = options.logProb === true ? new MomentSum(1, outputs.logProb) : undefined;
  return {
    // squares in data units may leave f32 where the samples do not
    request: sumRequest(drawRequest(flow, what, count, options, first), affineOf(flow)),
    reduction: likelihood ? together([sum, likelihood]) : sum,
    result: () => {
      const { dim } = flow;
      const normalization = affineOf(flow);
      const scale = (i: number) => (normalization ? item(normalization.scale, i) : 1);
      const shift = (i: number) => (normalization ? item(normalization.mean, i) : 0);
      const mean = sum.mean.map((value, i) => (sum.count > 0 ? shift(i) + scale(i) * value : Number.NaN));
      const covariance = sum.covariance.map((value, k) => value * scale(Math.floor(k / dim)) * scale(k % dim));
      const figures = { mean, covariance, count: sum.count, ...sum.tally };
      return { ...figures, ...(likelihood && { logProb: meanOf(likelihood) }) };
    },
  };
}

/** See {@link Flow.moments}. */
export async function moments(flow: FlowOnDevice, count: number, options: MomentOptions): Promise<Moments> {
  return summarise(flow, momentsSummary(flow, count, options), options);
}

/** The checked summary of {@link Flow.meanLogProb} over rows, of which the first has index `first`; `sum` may have others already. */
export function meanLogProbSummary(
  flow: FlowShape,
  rows: DataUnitRows,
  options: Omit<LogProbOptions, "output">,
  first = 0,
  sum = new MomentSum(1, outputs.logProb),
): Summary<MeanLogProb> {
  const what = "meanLogProb";
  const own = scoreRequest(flow, what, rows, checked(what, meanLogProbFields, options));
  const request = { ...own, start: { ...own.start, first } };
  return { request, reduction: sum, result: () => meanOf(sum) };
}

/** See {@link Flow.meanLogProb}. */
export async function meanLogProb(
  flow: FlowOnDevice,
  x: DataUnitRows | StreamChunks,
  options: Omit<LogProbOptions, "output">,
): Promise<MeanLogProb> {
  const what = "meanLogProb";
  if (isRows(x)) return summarise(flow, meanLogProbSummary(flow, x, options), options);
  checkStreamOptions(what, meanLogProbFields, checked(what, meanLogProbFields, options));
  const sum = new MomentSum(1, outputs.logProb);
  let first = 0;
  for await (const chunk of chunksOf(flow, what, x)) {
    const { x: rows, conditions } = partsOf(what, chunk);
    const summary = meanLogProbSummary(flow, rows, { ...options, ...conditions }, first, sum);
    await summarise(flow, summary, options);
    first += summary.request.count;
  }
  return meanOf(sum);
}

function meanOf(sum: MomentSum): MeanLogProb {
  return {
    mean: sum.count > 0 ? item(sum.mean, 0) : Number.NaN,
    standardError: Math.sqrt(item(sum.covariance, 0) / sum.count),
    count: sum.count,
    ...sum.tally,
  };
}
