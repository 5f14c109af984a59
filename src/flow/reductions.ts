import { invalid } from "../errors.ts";
import { checkFinite, checkInteger, checkKeys, show } from "../options.ts";
import type { Flow, SampleOptions } from "./flow.ts";
import { solveKeys } from "./options.ts";
import { sampleRequest } from "./requests.ts";
import { chunks } from "./results.ts";

export type ReductionOptions = Omit<SampleOptions, "output" | "saveAt" | "logProb">;

export interface HistogramOptions extends ReductionOptions {
  /** The two axes. Default [0, 1]. */
  axes?: [x: number, y: number];
  /** Bins along each of the two axes. */
  bins: [x: number, y: number];
  /** Low and high end of each of the two axes, in data units. A bin holds its low end, not its high end. */
  range: [x: [low: number, high: number], y: [low: number, high: number]];
}

export interface Histogram {
  /** [bins[1], bins[0]]: row y, column x. */
  counts: Uint32Array;
  /** Samples that are in no bin, those that are not finite included. */
  outside: number;
}

export interface Moments {
  /** [dim], in data units. */
  mean: Float64Array;
  /** [dim, dim], row-major; divided by count − 1. */
  covariance: Float64Array;
  /** Finite samples, which all of this is about. */
  count: number;
  nonFinite: number;
}

const keys = [...solveKeys.filter((key) => key !== "output"), "to"];

/** Samples chunk by chunk: host and device memory are bounded by the chunk. */
async function* samples(
  flow: Flow,
  what: string,
  count: number,
  options: ReductionOptions,
): AsyncGenerator<Float32Array> {
  const request = { ...sampleRequest(flow, what, count, options), wantStart: false };
  for await (const { result } of chunks(flow, request, options)) yield result.x;
}

/** See {@link Flow.histogram}. */
export async function histogram(flow: Flow, count: number, o: HistogramOptions): Promise<Histogram> {
  const what = "histogram";
  checkKeys(what, o, [...keys, "axes", "bins", "range"]);
  const { axes = [0, Math.min(1, flow.dim - 1)], bins, range, ...options } = o;
  if (!Array.isArray(axes) || axes.length !== 2)
    throw invalid(`${what}: axes is ${show(axes)}, but it is two of the ${flow.dim} axes`);
  if (!Array.isArray(bins) || bins.length !== 2)
    throw invalid(`${what}: bins is ${show(bins)}, but it is a count for each of two axes`);
  if (!Array.isArray(range) || range.length !== 2)
    throw invalid(`${what}: range is ${show(range)}, but it is [low, high] for each of two axes`);
  const along = [0, 1].map((k) => {
    const axis = checkInteger(`${what}: axes[${k}]`, axes[k] ?? 0, 0, flow.dim - 1);
    const number = checkInteger(`${what}: bins[${k}]`, bins[k] ?? 0, 1, 65536);
    const [low = Number.NaN, high = Number.NaN] = range[k] ?? [];
    checkFinite(`${what}: range[${k}][0]`, low);
    checkFinite(`${what}: range[${k}][1]`, high);
    if (!(low < high)) throw invalid(`${what}: range[${k}] is [${low}, ${high}], but low is less than high`);
    return { axis, number, low, perUnit: number / (high - low) };
  });
  const [x, y] = along;
  if (!x || !y) throw new Error("a histogram has two axes");
  if (x.number * y.number > 2 ** 26)
    throw invalid(`${what}: ${x.number} × ${y.number} bins are more than ${2 ** 26}: use fewer`);
  const counts = new Uint32Array(x.number * y.number);
  let outside = 0;
  for await (const chunk of samples(flow, what, count, options)) {
    for (let at = 0; at < chunk.length; at += flow.dim) {
      const column = Math.floor(((chunk[at + x.axis] ?? 0) - x.low) * x.perUnit);
      const row = Math.floor(((chunk[at + y.axis] ?? 0) - y.low) * y.perUnit);
      // a NaN is in no range
      if (column >= 0 && column < x.number && row >= 0 && row < y.number) {
        const bin = row * x.number + column;
        counts[bin] = (counts[bin] ?? 0) + 1;
      } else outside++;
    }
  }
  return { counts, outside };
}

/** See {@link Flow.moments}. Welford's update in f64 (Chan, Golub & LeVeque 1983), so that a large mean costs no digits. */
export async function moments(flow: Flow, count: number, options: ReductionOptions): Promise<Moments> {
  const what = "moments";
  checkKeys(what, options, keys);
  const { dim } = flow;
  const mean = new Float64Array(dim);
  const products = new Float64Array(dim * dim);
  const before = new Float64Array(dim);
  let finite = 0;
  let nonFinite = 0;
  for await (const chunk of samples(flow, what, count, options)) {
    for (let at = 0; at < chunk.length; at += dim) {
      let sum = 0;
      for (let i = 0; i < dim; i++) sum += chunk[at + i] ?? 0;
      if (!Number.isFinite(sum)) {
        nonFinite++;
        continue;
      }
      finite++;
      for (let i = 0; i < dim; i++) {
        const difference = (chunk[at + i] ?? 0) - (mean[i] ?? 0);
        before[i] = difference;
        mean[i] = (mean[i] ?? 0) + difference / finite;
      }
      for (let i = 0; i < dim; i++) {
        const after = (chunk[at + i] ?? 0) - (mean[i] ?? 0);
        for (let j = 0; j <= i; j++) products[i * dim + j] = (products[i * dim + j] ?? 0) + after * (before[j] ?? 0);
      }
    }
  }
  const covariance = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      const value = (products[i * dim + j] ?? 0) / (finite - 1);
      covariance[i * dim + j] = value;
      covariance[j * dim + i] = value;
    }
  }
  if (finite === 0) mean.fill(Number.NaN);
  return { mean, covariance, count: finite, nonFinite };
}
