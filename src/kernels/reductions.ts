import {
  blockMeanKernel,
  blockProductsKernel,
  histogramKernel,
  largestLocalHistogram,
  particlesPerLocalHistogram,
  reductionWorkgroup,
} from "../../shaders/reductions.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, packParams, u32 } from "../gpu/kernel.ts";

/** Floats of one block's moments: count, shift[dim], residuals[dim], products [⌊dim/2⌋ + 1][dim]. */
export function momentFloats(dim: number): number {
  return 1 + 2 * dim + dim * (Math.floor(dim / 2) + 1);
}

/**
 * Counts, means and centred products of blocks of the rows whose `marks` are 1, into `moments` [blocks][{@link momentFloats}]. The chunk's first row is
 * the one at place `lead` of its first block. Cut into dispatches of at most `maxFlops`.
 */
export function blockMoments(o: {
  count: number;
  dim: number;
  lead: number;
  block: number;
  blocks: number;
  rows: string;
  marks: string;
  moments: string;
  maxFlops: number;
}): Dispatch[] {
  const stride = momentFloats(o.dim);
  const passes = [
    { kernel: blockMeanKernel({}), sums: o.dim },
    { kernel: blockProductsKernel({}), sums: stride - 1 - o.dim },
  ];
  const flops = o.block * 8;
  const most = Math.max(1, Math.floor(o.maxFlops / flops));
  return passes.flatMap(({ kernel, sums }) => {
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < sums * o.blocks; first += most) {
      const workgroups = Math.min(most, sums * o.blocks - first);
      dispatches.push({
        kernel,
        buffers: [o.rows, o.marks, o.moments],
        params: packParams([o.count, o.dim, o.lead, o.block, o.blocks, stride, first].map((value) => u32(value))),
        workgroups: gridOf(workgroups),
        flops: workgroups * flops,
      });
    }
    return dispatches;
  });
}

/** One axis of a histogram. The edges are f32, as the particles are. */
export interface Bins {
  readonly axis: number;
  readonly bins: number;
  readonly low: number;
  readonly high: number;
}

/** Adds the particles of `rows` to `counts` [x.bins · y.bins + 1], the last element being those outside and those whose `marks` are 0. */
export function histogram(o: {
  count: number;
  dim: number;
  x: Bins;
  y: Bins;
  rows: string;
  marks: string;
  counts: string;
}): Dispatch {
  const bins = o.x.bins * o.y.bins;
  const local = bins <= largestLocalHistogram;
  const edges = ({ bins: number, low, high }: Bins) => [f32(low), f32(high), f32(number / (high - low))];
  return {
    kernel: histogramKernel({ bins: local ? bins : 0 }),
    buffers: [o.rows, o.marks, o.counts],
    params: packParams([
      ...[o.count, o.dim, o.x.axis, o.y.axis, o.x.bins, o.y.bins].map((value) => u32(value)),
      ...edges(o.x),
      ...edges(o.y),
    ]),
    workgroups: gridOf(Math.ceil(o.count / (local ? particlesPerLocalHistogram : reductionWorkgroup))),
    flops: o.count * 14,
  };
}
