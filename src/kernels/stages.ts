import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import { numbered } from "../../shaders/interface.ts";
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
import type { Dispatch } from "../gpu/kernel.ts";

const perParticle = (capacity: number, work: number) => ({
  workgroups: gridOf(Math.ceil(capacity / stageWorkgroup)),
  flops: capacity * work,
});

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
  const { capacity, dim, state } = o;
  const [time, times] = typeof o.time === "object" ? [0, o.time.times] : [o.time, undefined];
  return groupsOf(o.ks.length, mostBuffers - (times === undefined ? 2 : 3), mostBuffers - 1).map(([start, end]) => {
    const ks = o.ks.slice(start, end);
    const params = { capacity, dim, ...numbered("a", o.a.slice(start, end)) };
    const buffers = { inputs: o.input, ...numbered("k", ks) };
    const size = perParticle(capacity, dim * (2 + 2 * ks.length));
    if (start > 0) return dispatchOf(addStagesKernel({ stages: ks.length }), { params, buffers, ...size });
    return dispatchOf(stageInputKernel({ previous: ks.length, times: times !== undefined }), {
      params: { ...params, time },
      buffers: { ...buffers, state, times },
      ...size,
    });
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
  const { capacity, count, row, classes, context, input, labels, contextRows } = o;
  return dispatchOf(conditionRowsKernel({ labels: labels !== undefined, context: contextRows !== undefined }), {
    params: { capacity, count, row, classes, context },
    buffers: { inputs: input, labels, context: contextRows },
    ...perParticle(capacity, classes + context),
  });
}

export function planMix(o: {
  capacity: number;
  dim: number;
  weight: number;
  add: boolean;
  value: string;
  target: string;
}): Dispatch {
  const { capacity, dim, weight, add, value, target } = o;
  return dispatchOf(mixKernel({ add }), {
    params: { capacity, dim, weight },
    buffers: { value, target_rows: target },
    ...perParticle(capacity, 2 * dim),
  });
}

/** x + Σ h b_i k_i into `state`; more than seven stages come in several sums. */
export function planFinishStep(o: {
  capacity: number;
  dim: number;
  b: readonly number[];
  ks: readonly string[];
  state: string;
}): Dispatch[] {
  const { capacity, dim, state } = o;
  return groupsOf(o.ks.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const ks = o.ks.slice(start, end);
    return dispatchOf(finishStepKernel({ stages: ks.length }), {
      params: { capacity, dim, ...numbered("b", o.b.slice(start, end)) },
      buffers: { state, ...numbered("k", ks) },
      ...perParticle(capacity, 2 * ks.length * dim),
    });
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
  const { capacity, dim, first, tangents, probes, input } = o;
  return dispatchOf(tangentInputKernel({ basis: probes === undefined }), {
    params: { capacity, dim, first, tangents },
    buffers: { tangents: input, probes },
    ...perParticle(capacity, 2 * dim * tangents),
  });
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
  const { capacity, dim, first, tangents, weight, each, basis, products, sums } = o;
  return dispatchOf(tangentDotKernel({ basis, each }), {
    params: { capacity, dim, first, tangents, weight, begin: o.begin ? 1 : 0 },
    buffers: { products, sums, tangents: basis ? undefined : o.tangentInput },
    ...perParticle(capacity, 2 * dim * tangents),
  });
}
