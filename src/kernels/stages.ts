import {
  addStagesKernel,
  conditionRowsKernel,
  finishStepKernel,
  mixKernel,
  stageInputKernel,
  stageWorkgroup,
  tangentDotKernel,
  tangentInputKernel,
} from "../../shaders/stages.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, type Kernel, packParams, u32 } from "../gpu/kernel.ts";
import { item } from "../must.ts";

type Field = readonly ["u32" | "f32", number];

function perParticle(
  kernel: Kernel,
  buffers: string[],
  capacity: number,
  dim: number,
  fields: Field[],
  work: number,
): Dispatch {
  return {
    kernel,
    buffers,
    params: packParams([u32(capacity), u32(dim), ...fields]),
    workgroups: gridOf(Math.ceil(capacity / stageWorkgroup)),
    flops: capacity * work,
  };
}

/** Storage buffers that a kernel may have on every adapter (WebGPU's least `maxStorageBuffersPerShaderStage`). */
export const mostBuffers = 8;

/** 0 … `count` − 1 in groups: `first` at most in the first one, `rest` at most in the others. At least one group. */
export function groupsOf(count: number, first: number, rest: number): [start: number, end: number][] {
  const groups: [number, number][] = [[0, Math.min(count, first)]];
  for (let start = first; start < count; start += rest) groups.push([start, Math.min(count, start + rest)]);
  return groups;
}

/** Input rows x + Σ h a_j k_j and time; `times` names a buffer of times per particle. What a kernel has no bindings for, others add. */
export function planStageInput(o: {
  capacity: number;
  dim: number;
  time: number | { times: string };
  a: readonly number[];
  ks: readonly string[];
  state: string;
  input: string;
}): Dispatch[] {
  const times = typeof o.time === "object" ? [o.time.times] : [];
  const time = typeof o.time === "object" ? 0 : o.time;
  return groupsOf(o.ks.length, mostBuffers - 2 - times.length, mostBuffers - 1).map(([start, end]) => {
    const ks = o.ks.slice(start, end);
    const first = start === 0;
    return perParticle(
      first
        ? stageInputKernel({ previous: ks.length, times: times.length > 0 })
        : addStagesKernel({ stages: ks.length }),
      [...(first ? [o.state] : []), o.input, ...ks, ...(first ? times : [])],
      o.capacity,
      o.dim,
      [...(first ? [f32(time)] : []), ...ks.map((_, j) => f32(item(o.a, start + j)))],
      o.dim * (2 + 2 * ks.length),
    );
  });
}

export function planConditionRows(o: {
  capacity: number;
  count: number;
  row: number;
  classes: number;
  context: number;
  input: string;
  labels?: string | undefined;
  contextRows?: string | undefined;
}): Dispatch {
  return perParticle(
    conditionRowsKernel({ labels: o.labels !== undefined, context: o.contextRows !== undefined }),
    [o.input, o.labels, o.contextRows].filter((name) => name !== undefined),
    o.capacity,
    o.count,
    [u32(o.row), u32(o.classes), u32(o.context)],
    o.classes + o.context,
  );
}

export function planMix(o: {
  capacity: number;
  dim: number;
  weight: number;
  add: boolean;
  value: string;
  target: string;
}): Dispatch {
  return perParticle(mixKernel({ add: o.add }), [o.value, o.target], o.capacity, o.dim, [f32(o.weight)], 2 * o.dim);
}

/** x + Σ h b_i k_i into `state`; more than seven stages come in several sums. */
export function planFinishStep(o: {
  capacity: number;
  dim: number;
  b: readonly number[];
  ks: readonly string[];
  state: string;
}): Dispatch[] {
  return groupsOf(o.ks.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const ks = o.ks.slice(start, end);
    return perParticle(
      finishStepKernel({ stages: ks.length }),
      [o.state, ...ks],
      o.capacity,
      o.dim,
      ks.map((_, j) => f32(item(o.b, start + j))),
      2 * ks.length * o.dim,
    );
  });
}

export function planTangentInput(o: {
  capacity: number;
  dim: number;
  first: number;
  tangents: number;
  probes?: string | undefined;
  input: string;
}): Dispatch {
  const basis = o.probes === undefined;
  const buffers = o.probes === undefined ? [o.input] : [o.input, o.probes];
  return perParticle(
    tangentInputKernel({ basis }),
    buffers,
    o.capacity,
    o.dim,
    [u32(o.first), u32(o.tangents)],
    2 * o.dim * o.tangents,
  );
}

/** Adds weight·(v·Jv): into row 0 of `sums`, or for `each` tangent into its own row. `begin` starts the sum of row 0 anew. */
export function planTangentDot(o: {
  capacity: number;
  dim: number;
  first: number;
  tangents: number;
  weight: number;
  each: boolean;
  begin: boolean;
  basis: boolean;
  products: string;
  tangentInput: string;
  sums: string;
}): Dispatch {
  return perParticle(
    tangentDotKernel({ basis: o.basis, each: o.each }),
    [o.products, o.sums, ...(o.basis ? [] : [o.tangentInput])],
    o.capacity,
    o.dim,
    [u32(o.first), u32(o.tangents), f32(o.weight), u32(o.begin ? 1 : 0)],
    2 * o.dim * o.tangents,
  );
}
