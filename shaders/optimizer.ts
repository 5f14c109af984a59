import { type Dispatch, dispatchOf, gridOf } from "./dispatch.ts";
import { numbered, read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { components } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations of the single workgroup that finishes a sum; also the elements per workgroup of the first pass. */
const sumWorkgroup = 64;

/** Text that adds `mine` of all invocations of a workgroup in a fixed tree, into `tree[0]`. */
const treeSum = wgsl`
  tree[local] = mine;
  workgroupBarrier();
  for (var half = ${sumWorkgroup / 2}u; half > 0u; half /= 2u) {
    if (local < half) { tree[local] += tree[local + half]; }
    workgroupBarrier();
  }
`;

/** sum[0] = or += scale · Σ values, in an order that is always the same. One workgroup. */
export const sumKernel = oncePerShape(({ add }: { readonly add: boolean }) =>
  kernel({
    label: add ? "add to a sum" : "sum",
    entryPoint: "sum_values",
    params: { count: "u32", scale: "f32", offset: "u32" },
    buffers: { values: read("array<f32>"), total: write("array<f32>") },
    code: wgsl`
var<workgroup> tree: array<f32, ${sumWorkgroup}>;

@compute @workgroup_size(${sumWorkgroup})
fn sum_values(@builtin(local_invocation_index) local: u32) {
  var mine = 0.0;
  for (var i = local; i < params.count; i += ${sumWorkgroup}u) { mine += values[params.offset + i]; }
  ${treeSum}
#if ${add}
  if (local == 0u) { total[0] = fma(params.scale, tree[0], total[0]); }
#else
  if (local == 0u) { total[0] = params.scale * tree[0]; }
#endif
}
`,
  }),
);

/** to[0] = (or +=) scale · Σ of `count` values from `offset` (default 0) on. */
export function planSum(o: {
  count: number;
  offset?: number;
  scale: number;
  add: boolean;
  from: string;
  to: string;
}): Dispatch {
  const { count, offset = 0, scale, add, from, to } = o;
  return dispatchOf(sumKernel({ add }), {
    params: { count, scale, offset },
    buffers: { values: from, total: to },
    workgroups: [1],
    flops: count,
  });
}

interface ReduceGradientShape {
  readonly norm: boolean;
  /** Whether the gradient is a mean over parts of the batch, to which one is added. */
  readonly adds: boolean;
  /** Whether some parameters have no gradient: those of the bits in `frozen`. */
  readonly freezes: boolean;
}

/**
 * gradient[i] = Σ partials[segment][i], segments in ascending order, or a part of it that is added to those before; with `norm` also
 * Σ gradient² of each workgroup.
 */
export const reduceGradientKernel = oncePerShape(({ norm, adds, freezes }: ReduceGradientShape) =>
  kernel({
    label: "reduce gradient",
    entryPoint: "reduce_gradient",
    params: { count: "u32", stride: "u32", segments: "u32", scale: adds && "f32", is_first: adds && "u32" },
    buffers: {
      partials: read("array<f32>"),
      gradient: write("array<f32>"),
      squares: norm && write("array<f32>"),
      frozen: freezes && read("array<u32>"),
    },
    code: wgsl`
#if ${norm}
var<workgroup> tree: array<f32, ${sumWorkgroup}>;
#endif

@compute @workgroup_size(${sumWorkgroup})
fn reduce_gradient(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32,
) {
  let workgroup = group.x + group.y * groups.x;
  let i = workgroup * ${sumWorkgroup}u + local;
  var sum = 0.0;
  if (i < params.count) {
    for (var s = 0u; s < params.segments; s++) { sum += partials[s * params.stride + i]; }
#if ${adds}
    sum = fma(params.scale, sum, select(gradient[i], 0.0, params.is_first == 1u));
#endif
#if ${freezes}
    if (((frozen[i / 32u] >> (i % 32u)) & 1u) == 1u) { sum = 0.0; }
#endif
    gradient[i] = sum;
  }
#if ${norm}
  let mine = sum * sum;
  ${treeSum}
  if (local == 0u && workgroup * ${sumWorkgroup}u < params.count) { squares[workgroup] = tree[0]; }
#endif
}
`,
  }),
);

/** Numbers from a segment of "partials" to the next one: those of its parameters, in whole vectors of four. */
export const partialStride = (count: number): number => 4 * Math.ceil(count / 4);

/** "partials" → "gradient", or one of `parts` of it, from 0; with `norm` also "norm.parts", one per workgroup. */
export function planReduceGradient(o: {
  count: number;
  segments: number;
  norm: boolean;
  part?: number;
  parts?: number;
  frozen?: string | undefined;
}): Dispatch {
  const { count, segments, norm, part = 0, parts = 1, frozen } = o;
  const adds = parts > 1;
  return dispatchOf(reduceGradientKernel({ norm, adds, freezes: frozen !== undefined }), {
    params: {
      count,
      stride: partialStride(count),
      segments,
      scale: adds ? 1 / parts : undefined,
      is_first: adds ? Number(part === 0) : undefined,
    },
    buffers: { partials: "partials", gradient: "gradient", squares: norm ? "norm.parts" : undefined, frozen },
    workgroups: gridOf(Math.ceil(count / sumWorkgroup)),
    flops: count * segments,
  });
}

/** Workgroups of the gradient's reduction, each of which leaves a part of ‖g‖². */
export function normParts(count: number): number {
  return Math.ceil(count / sumWorkgroup);
}

interface AdamShape {
  /** Whether the gradient is scaled by min(1, clip/‖g‖), ‖g‖² being in `norm`. */
  readonly clip: boolean;
  readonly ema: boolean;
  /** Whether it passes over the parameters whose bits are set in `passed`. */
  readonly passes: boolean;
  /** Whether the gradient is in parts, which are added in their order as {@link reduceGradientKernel} adds them. */
  readonly sums: boolean;
  /** How many packings get each parameter, too: `places` says for one after the other where it is in them. */
  readonly packs: number;
}

/**
 * Adam with bias correction (Kingma & Ba 2015), decoupled weight decay (AdamW; Loshchilov & Hutter 2019), ε outside the root,
 * then the exponential moving average of the parameters. The host gives 1/(1 − βᵏ) from the integer step, and each
 * 1 − β (`rest`), which f32 would cancel. An invocation has four parameters; those behind the last one are nobody's.
 */
export const adamKernel = oncePerShape(({ clip, ema, passes, sums, packs }: AdamShape) =>
  kernel({
    label: `adam${sums ? " of a gradient in parts" : ""}${packs > 0 ? `, with ${packs} packings` : ""}`,
    entryPoint: "adam",
    params: {
      vectors: "u32",
      segments: sums && "u32",
      learning_rate: "f32",
      beta1: "f32",
      beta2: "f32",
      rest1: "f32",
      rest2: "f32",
      correction1: "f32",
      correction2: "f32",
      epsilon: "f32",
      decay: "f32",
      ema: "f32",
      rest: "f32",
      clip: "f32",
    },
    buffers: {
      gradient: read("array<vec4f>"),
      parameters: write("array<vec4f>"),
      first_moment: write("array<vec4f>"),
      second_moment: write("array<vec4f>"),
      norm: clip && read("array<f32>"),
      average: ema && write("array<vec4f>"),
      passed: passes && read("array<u32>"),
      places: packs > 0 && read("array<vec4u>"),
      ...several("packed", packs, write("array<f32>")),
    },
    code: wgsl`
@compute @workgroup_size(${sumWorkgroup})
fn adam(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * ${sumWorkgroup}u;
  if (i >= params.vectors) { return; }
#if ${sums}
  var g = vec4f(0.0);
  for (var s = 0u; s < params.segments; s++) { g += gradient[s * params.vectors + i]; }
#else
  var g = gradient[i];
#endif
#if ${clip}
  g *= min(1.0, params.clip / max(sqrt(norm[0]), 1e-30));
#endif
  let before = parameters[i];
  let m = fma(vec4f(params.beta1), first_moment[i], params.rest1 * g);
  let v = fma(vec4f(params.beta2), second_moment[i], params.rest2 * (g * g));
  let decayed = before * (1.0 - params.learning_rate * params.decay);
  let step = params.learning_rate * (m * params.correction1) / (sqrt(v * params.correction2) + params.epsilon);
  let next = decayed - step;
#if ${passes}
  let is_passed = ((vec4u(passed[i / 8u] >> (i % 8u * 4u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u)) == vec4u(1u);
  first_moment[i] = select(m, first_moment[i], is_passed);
  second_moment[i] = select(v, second_moment[i], is_passed);
  parameters[i] = select(next, before, is_passed);
#else
  first_moment[i] = m;
  second_moment[i] = v;
  parameters[i] = next;
#endif
#if ${ema}
  let mean = fma(vec4f(params.ema), average[i], params.rest * next);
#if ${passes}
  average[i] = select(mean, average[i], is_passed);
#else
  average[i] = mean;
#endif
#endif
  ${lines(packs, (k) =>
    [
      `let at${k} = places[${k}u * params.vectors + i];`,
      ...components.map((c) => `packed${k}[at${k}.${c}] = ${passes ? `parameters[i].${c}` : `next.${c}`};`),
    ].join("\n  "),
  )}
}
`,
  }),
);

export interface AdamSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly ema: number | undefined;
  readonly gradientClip: number | undefined;
}

/** The decay of the moving average in a step: early averages warm up, so that a short run is not stuck at its initial weights. */
export function averageDecay(ema: number, step: number): number {
  return Math.min(ema, (1 + step) / (10 + step));
}

/**
 * One Adam step, `step` counted from 1; of all parameters but those in the bits of the buffer `passed`. The gradient is in "gradient", or
 * in `segments` parts in "partials", {@link partialStride} from each other. With packings each parameter goes to where "places" says.
 */
export function planAdam(o: {
  count: number;
  step: number;
  learningRate: number;
  settings: AdamSettings;
  passed?: string | undefined;
  segments?: number | undefined;
  packings?: readonly string[] | undefined;
}): Dispatch {
  const { count, step, learningRate, passed, segments, packings = [] } = o;
  const { beta1, beta2, epsilon, weightDecay, ema, gradientClip } = o.settings;
  const has = { clip: gradientClip !== undefined, ema: ema !== undefined, passes: passed !== undefined };
  const decay = averageDecay(ema ?? 0, step);
  const vectors = Math.ceil(count / 4);
  return dispatchOf(adamKernel({ ...has, sums: segments !== undefined, packs: packings.length }), {
    params: {
      vectors,
      segments,
      learning_rate: learningRate,
      epsilon,
      decay: weightDecay,
      clip: gradientClip ?? 0,
      beta1,
      rest1: 1 - beta1,
      correction1: 1 / (1 - beta1 ** step),
      beta2,
      rest2: 1 - beta2,
      correction2: 1 / (1 - beta2 ** step),
      ema: decay,
      rest: 1 - decay,
    },
    buffers: {
      gradient: segments === undefined ? "gradient" : "partials",
      parameters: "parameters",
      first_moment: "adam.m",
      second_moment: "adam.v",
      norm: has.clip ? "norm" : undefined,
      average: has.ema ? "average" : undefined,
      passed,
      places: packings.length > 0 ? placesName : undefined,
      ...numbered("packed", packings),
    },
    workgroups: gridOf(Math.ceil(vectors / sumWorkgroup)),
    flops: count * (16 + (segments ?? 0)),
  });
}

/** The buffer that says where each parameter is in each packing. */
export const placesName = "places";
