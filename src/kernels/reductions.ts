import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import {
  blockMeanKernel,
  blockProductsKernel,
  histogramKernel,
  largestLocalHistogram,
  particlesPerLocalHistogram,
  reductionWorkgroup,
} from "../../shaders/reductions.ts";
import type { Dispatch } from "../gpu/kernel.ts";

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
  const { count, dim, lead, block, blocks, rows, marks, moments } = o;
  const stride = momentFloats(dim);
  const passes = [
    { kernel: blockMeanKernel({}), sums: dim },
    { kernel: blockProductsKernel({}), sums: stride - 1 - dim },
  ];
  const flops = block * 8;
  const most = Math.max(1, Math.floor(o.maxFlops / flops));
  return passes.flatMap(({ kernel, sums }) => {
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < sums * blocks; first += most) {
      const workgroups = Math.min(most, sums * blocks - first);
      dispatches.push(
        dispatchOf(kernel, {
          params: { count, dim, lead, block, blocks, stride, first },
          buffers: { rows, marks, moments },
          workgroups: gridOf(workgroups),
          flops: workgroups * flops,
        }),
      );
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
  const { count, dim, x, y, rows, marks, counts } = o;
  const bins = x.bins * y.bins;
  const local = bins <= largestLocalHistogram;
  const scale = ({ bins: number, low, high }: Bins) => number / (high - low);
  return dispatchOf(histogramKernel({ bins: local ? bins : 0 }), {
    params: {
      count,
      dim,
      ...{ axis_x: x.axis, bins_x: x.bins, low_x: x.low, high_x: x.high, scale_x: scale(x) },
      ...{ axis_y: y.axis, bins_y: y.bins, low_y: y.low, high_y: y.high, scale_y: scale(y) },
    },
    buffers: { rows, marks, counts },
    workgroups: gridOf(Math.ceil(count / (local ? particlesPerLocalHistogram : reductionWorkgroup))),
    flops: count * 14,
  });
}
