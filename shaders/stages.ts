import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { type Numeric, numbered, read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Storage buffers that a kernel may have on every adapter (WebGPU's least `maxStorageBuffersPerShaderStage`). */
export const mostBuffers = 8;

/** 0 … `count` − 1 in groups: `first` at most in the first one, `rest` at most in the others. At least one group. */
export function groupsOf(count: number, first: number, rest: number): [start: number, end: number][] {
  const groups: [number, number][] = [[0, Math.min(count, first)]];
  for (let start = first; start < count; start += rest) groups.push([start, Math.min(count, start + rest)]);
  return groups;
}

/**
 * Input rows of the network for one Runge–Kutta stage: x + Σ h a_j k_j, then the time.
 * With `times` the time is read per particle, else it is the same for all. Rows of class and context are left alone.
 */
export const stageInputKernel = oncePerShape(({ previous, times }: { previous: number; times: boolean }) =>
  kernel({
    label: `stage input after ${previous} stages${times ? ", times per particle" : ""}`,
    entryPoint: "stage_input",
    params: { capacity: "u32", dim: "u32", time: "f32", ...several("a", previous, "f32") },
    buffers: {
      state: read("array<f32>"),
      inputs: write("array<f32>"),
      ...several("k", previous, read("array<f32>")),
      times: times && read("array<f32>"),
    },
    code: wgsl`
${particle}
fn stage_input${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var y = state[at];
    ${lines(previous, (j) => `y = fma(params.a${j}, k${j}[at], y);`)}
    inputs[at] = y;
  }
#if ${times}
  let time = times[p];
#else
  let time = params.time;
#endif
  inputs[params.dim * params.capacity + p] = time;
}
`,
  }),
);

/** More stages for the input rows that {@link stageInputKernel} has begun: inputs += Σ h a_j k_j. */
export const addStagesKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: `stage input, ${stages} more stages`,
    entryPoint: "add_stages",
    params: { capacity: "u32", dim: "u32", ...several("a", stages, "f32") },
    buffers: { inputs: write("array<f32>"), ...several("k", stages, read("array<f32>")) },
    code: wgsl`
${particle}
fn add_stages${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var y = inputs[at];
    ${lines(stages, (j) => `y = fma(params.a${j}, k${j}[at], y);`)}
    inputs[at] = y;
  }
}
`,
  }),
);

/** Input rows x + Σ h a_j k_j and time; `times` names a buffer of times per particle. What a kernel has no bindings for, others add. */
export function planStageInput(o: {
  capacity: number;
  dim: number;
  time: Numeric | { times: string };
  a: readonly Numeric[];
  ks: readonly string[];
  state: string;
  input: string;
}): Dispatch[] {
  const { capacity, dim, state } = o;
  const [time, times] = typeof o.time === "object" && "times" in o.time ? [0, o.time.times] : [o.time, undefined];
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

/** The end of a step: x⁺ = x + Σ h b_i k_i; the increment is summed before it meets x, which is larger. */
export const finishStepKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: `finish step of ${stages} stages`,
    entryPoint: "finish_step",
    params: { capacity: "u32", dim: "u32", ...several("b", stages, "f32") },
    buffers: { state: write("array<f32>"), ...several("k", stages, read("array<f32>")) },
    code: wgsl`
${particle}
fn finish_step${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var d = 0.0;
    ${lines(stages, (j) => `d = fma(params.b${j}, k${j}[at], d);`)}
    state[at] += d;
  }
}
`,
  }),
);

/** x + Σ h b_i k_i into `state`; more than seven stages come in several sums. */
export function planFinishStep(o: {
  capacity: number;
  dim: number;
  b: readonly Numeric[];
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

/** Guidance: target = weight·value, or + weight·value, over all [dim][capacity] elements. */
export const mixKernel = oncePerShape(({ add }: { add: boolean }) =>
  kernel({
    label: add ? "mix: add" : "mix: begin",
    entryPoint: "mix_branch",
    params: { capacity: "u32", dim: "u32", weight: "f32" },
    buffers: { value: read("array<f32>"), target_rows: write("array<f32>") },
    code: wgsl`
${particle}
fn mix_branch${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
#if ${add}
    target_rows[at] = fma(params.weight, value[at], target_rows[at]);
#else
    target_rows[at] = params.weight * value[at];
#endif
  }
}
`,
  }),
);

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
