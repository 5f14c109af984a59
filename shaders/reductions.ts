import { type Dispatch, dispatchOf, gridOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel in this file. */
const reductionWorkgroup = 64;

/** Particles that one workgroup of a histogram with local bins counts. */
const particlesPerLocalHistogram = 4096;

/** Bins (and one more for what is outside) that fit into the workgroup memory of every device, 16 KiB. */
const largestLocalHistogram = 4095;

const signature =
  "(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32)";

const moments = {
  params: { count: "u32", dim: "u32", lead: "u32", block: "u32", blocks: "u32", stride: "u32", first: "u32" },
  buffers: { rows: read("array<f32>"), marks: read("array<u32>"), moments: write("array<f32>") },
} as const;

const treeSum = wgsl`
var<workgroup> tree: array<f32, ${reductionWorkgroup}>;

/** The sum over all invocations of a workgroup, in an order that is always the same. */
fn tree_sum(mine: f32, local: u32) -> f32 {
  tree[local] = mine;
  workgroupBarrier();
  for (var half = ${reductionWorkgroup / 2}u; half > 0u; half /= 2u) {
    if (local < half) { tree[local] += tree[local + half]; }
    workgroupBarrier();
  }
  let sum = tree[0];
  workgroupBarrier();
  return sum;
}
`;

/** The particles of block b that count and that this invocation sums: q is the place in the block, p the row in the chunk. */
const ofBlock = (body: string) => wgsl`
  for (var q = local; q < params.block; q += ${reductionWorkgroup}u) {
    let place = b * params.block + q;
    if (place < params.lead || place - params.lead >= params.count) { continue; }
    let p = place - params.lead;
    if (marks[p] == 0u) { continue; }
    ${body}
  }
`;

/**
 * First pass of the moments: how many rows of each block count, and the mean of each column over them.
 * Block b of a chunk holds the particles whose index in the whole call lies between multiples of `block`; the chunk's first
 * block may have begun `lead` particles earlier. Row b of `moments`: count, shift[dim], residuals[dim], products.
 */
export const blockMeanKernel = oncePerShape((_: object) =>
  kernel({
    label: "block means",
    entryPoint: "block_means",
    ...moments,
    code: wgsl`
${treeSum}
@compute @workgroup_size(${reductionWorkgroup})
fn block_means${signature} {
  let work = params.first + group.x + group.y * groups.x;
  let b = work / params.dim;
  let i = work % params.dim;
  if (b >= params.blocks) { return; }
  var sum = 0.0;
  var number = 0.0;
${ofBlock("sum += rows[p * params.dim + i]; number += 1.0;")}
  let total = tree_sum(sum, local);
  let n = tree_sum(number, local);
  if (local == 0u) {
    moments[b * params.stride] = n;
    moments[b * params.stride + 1u + i] = total / max(n, 1.0);
  }
}
`,
  }),
);

/**
 * Second pass: for each column Σ (x − shift), which is what rounding left of the mean, and for columns i and i + d (round the
 * end) Σ (x_i − shift_i)(x_j − shift_j), element d·dim + i, d = 0 … ⌊dim/2⌋. Every pair is among these. One workgroup per sum.
 */
export const blockProductsKernel = oncePerShape((_: object) =>
  kernel({
    label: "block products",
    entryPoint: "block_products",
    ...moments,
    code: wgsl`
${treeSum}
@compute @workgroup_size(${reductionWorkgroup})
fn block_products${signature} {
  let sums = params.stride - 1u - params.dim;
  let work = params.first + group.x + group.y * groups.x;
  let b = work / sums;
  let k = work % sums;
  if (b >= params.blocks) { return; }
  let i = k % params.dim;
  let row = b * params.stride + 1u;
  let shift = moments[row + i];
  var sum = 0.0;
  if (k < params.dim) {
${ofBlock("sum += rows[p * params.dim + i] - shift;")}
  } else {
    let j = (i + k / params.dim - 1u) % params.dim;
    let other = moments[row + j];
${ofBlock("sum = fma(rows[p * params.dim + i] - shift, rows[p * params.dim + j] - other, sum);")}
  }
  let total = tree_sum(sum, local);
  if (local == 0u) { moments[row + params.dim + k] = total; }
}
`,
  }),
);

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

/**
 * Counts particles in bins of two of their coordinates: element iy · bins_x + ix of `counts`, and behind the bins those outside,
 * which those whose mark is 0 are among. A bin holds its low end, not its high end. With `bins` the counts of a
 * workgroup are gathered in its own memory first, so that crowded bins are no bottleneck.
 */
export const histogramKernel = oncePerShape(({ bins }: { readonly bins: number }) =>
  kernel({
    label: bins > 0 ? "histogram with local bins" : "histogram",
    entryPoint: "histogram",
    params: {
      count: "u32",
      dim: "u32",
      axis_x: "u32",
      axis_y: "u32",
      bins_x: "u32",
      bins_y: "u32",
      low_x: "f32",
      high_x: "f32",
      scale_x: "f32",
      low_y: "f32",
      high_y: "f32",
      scale_y: "f32",
    },
    buffers: { rows: read("array<f32>"), marks: read("array<u32>"), counts: write("array<atomic<u32>>") },
    code: wgsl`
#if ${bins > 0}
var<workgroup> near: array<atomic<u32>, ${bins + 1}>;
#endif

fn bin_of(p: u32) -> u32 {
  let x = rows[p * params.dim + params.axis_x];
  let y = rows[p * params.dim + params.axis_y];
  let inside = x >= params.low_x && x < params.high_x && y >= params.low_y && y < params.high_y;
  if (!inside || marks[p] == 0u) { return params.bins_x * params.bins_y; }
  let column = min(u32((x - params.low_x) * params.scale_x), params.bins_x - 1u);
  let row = min(u32((y - params.low_y) * params.scale_y), params.bins_y - 1u);
  return row * params.bins_x + column;
}

@compute @workgroup_size(${reductionWorkgroup})
fn histogram${signature} {
  let workgroup = group.x + group.y * groups.x;
#if ${bins > 0}
  for (var q = local; q < ${particlesPerLocalHistogram}u; q += ${reductionWorkgroup}u) {
    let p = workgroup * ${particlesPerLocalHistogram}u + q;
    if (p < params.count) { atomicAdd(&near[bin_of(p)], 1u); }
  }
  workgroupBarrier();
  for (var bin = local; bin <= ${bins}u; bin += ${reductionWorkgroup}u) {
    let number = atomicLoad(&near[bin]);
    if (number > 0u) { atomicAdd(&counts[bin], number); }
  }
#else
  let p = workgroup * ${reductionWorkgroup}u + local;
  if (p < params.count) { atomicAdd(&counts[bin_of(p)], 1u); }
#endif
}
`,
  }),
);

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
      axis_x: x.axis,
      bins_x: x.bins,
      low_x: x.low,
      high_x: x.high,
      scale_x: scale(x),
      axis_y: y.axis,
      bins_y: y.bins,
      low_y: y.low,
      high_y: y.high,
      scale_y: scale(y),
    },
    buffers: { rows, marks, counts },
    workgroups: gridOf(Math.ceil(count / (local ? particlesPerLocalHistogram : reductionWorkgroup))),
    flops: count * 14,
  });
}
