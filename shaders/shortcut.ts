import { streams } from "../src/random/philox.ts";
import { batchWorkgroup } from "./batch-workgroup.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawNumbers, drawParams, random } from "./random.ts";
import { wgsl } from "./wgsl.ts";

/*
 * Shortcuts (Frans et al. 2024; docs/mathematics.md, Shortcuts): one of every so many samples of a flow-matching batch learns to go in one
 * step of length h as far as the network goes in two of h/2. These kernels make such a sample's two short steps and put its target in place.
 * The last row of the inputs is the length.
 */

const signature = "(@builtin(global_invocation_id) id: vec3u)";

/** Input rows of the first short step: those of every so many samples of the batch, and half of a length up to what is left of the time. */
export const shortcutStartKernel = oncePerShape((_: object) =>
  kernel({
    label: "shortcut, first half",
    entryPoint: "shortcut_start",
    params: {
      capacity: "u32",
      batch: "u32",
      dim: "u32",
      rows: "u32",
      count: "u32",
      every: "u32",
      ...drawParams,
      stream: "u32",
    },
    buffers: { inputs: read("array<f32>"), halves: write("array<f32>") },
    code: wgsl`
${random}

@compute @workgroup_size(${batchWorkgroup})
fn shortcut_start${signature} {
  let p = id.x;
  if (p >= params.capacity) { return; }
  // padding repeats the last one
  let sample = min(p, params.count - 1u) * params.every;
  for (var i = 0u; i + 1u < params.rows; i++) { halves[i * params.capacity + p] = inputs[i * params.batch + sample]; }
  let low = params.first_low + sample;
  let high = params.first_high + select(0u, 1u, low < sample);
  let level = uniform01(philox(vec4u(low, high, 0u, params.stream), vec2u(params.key_low, params.key_high)).x);
  let left = 1.0 - inputs[params.dim * params.batch + sample];
  halves[(params.rows - 1u) * params.capacity + p] = 0.5 * (level * left);
}
`,
  }),
);

/** From the start of the first short step to that of the second. */
export const shortcutMiddleKernel = oncePerShape((_: object) =>
  kernel({
    label: "shortcut, second half",
    entryPoint: "shortcut_middle",
    params: { capacity: "u32", dim: "u32", rows: "u32" },
    buffers: { velocity: read("array<f32>"), halves: write("array<f32>") },
    code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn shortcut_middle${signature} {
  let p = id.x;
  if (p >= params.capacity) { return; }
  let half = halves[(params.rows - 1u) * params.capacity + p];
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    halves[at] = fma(half, velocity[at], halves[at]);
  }
  halves[params.dim * params.capacity + p] += half;
}
`,
  }),
);

/** The mean of the two velocities as the target of the whole step, and its length among the inputs. */
export const shortcutTargetKernel = oncePerShape((_: object) =>
  kernel({
    label: "shortcut, target",
    entryPoint: "shortcut_target",
    params: { capacity: "u32", batch: "u32", dim: "u32", rows: "u32", count: "u32", every: "u32" },
    buffers: {
      first: read("array<f32>"),
      second: read("array<f32>"),
      halves: read("array<f32>"),
      inputs: write("array<f32>"),
      targets: write("array<f32>"),
    },
    code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn shortcut_target${signature} {
  let p = id.x;
  if (p >= params.count) { return; }
  let sample = p * params.every;
  let length = params.rows - 1u;
  inputs[length * params.batch + sample] = 2.0 * halves[length * params.capacity + p];
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    targets[i * params.batch + sample] = 0.5 * (first[at] + second[at]);
  }
}
`,
  }),
);

/** What the three kernels are told of a batch, whose input rows are in "h0" and targets in "target". */
interface ShortcutBatch {
  readonly dim: number;
  /** Input rows, of which the last is the length of a step. */
  readonly rows: number;
  /** Places of the batch, and of the shortcuts. */
  readonly batch: number;
  readonly capacity: number;
  /** Shortcuts: sample k·every is the k-th. */
  readonly count: number;
  readonly every: number;
  /** Number of the batch's first sample since the start of training. */
  readonly first: number;
  readonly key: readonly [number, number];
}

/** Makes samples of a batch shortcuts; `velocity` gives the dispatches from input rows in "halves" to velocities in a buffer of that name. */
export function planShortcut(
  { dim, rows, batch, capacity, count, every, first, key }: ShortcutBatch,
  velocity: (output: string) => Dispatch[],
): Dispatch[] {
  const workgroups = (particles: number): [number] => [Math.ceil(particles / batchWorkgroup)];
  return [
    dispatchOf(shortcutStartKernel({}), {
      params: { capacity, batch, dim, rows, count, every, ...drawNumbers(first, key), stream: streams.shortcut },
      buffers: { inputs: "h0", halves: "halves" },
      workgroups: workgroups(capacity),
      flops: capacity * (rows + 60),
    }),
    ...velocity("first half"),
    dispatchOf(shortcutMiddleKernel({}), {
      params: { capacity, dim, rows },
      buffers: { velocity: "first half", halves: "halves" },
      workgroups: workgroups(capacity),
      flops: capacity * 2 * dim,
    }),
    ...velocity("second half"),
    dispatchOf(shortcutTargetKernel({}), {
      params: { capacity, batch, dim, rows, count, every },
      buffers: { first: "first half", second: "second half", halves: "halves", inputs: "h0", targets: "target" },
      workgroups: workgroups(count),
      flops: count * 2 * dim,
    }),
  ];
}
