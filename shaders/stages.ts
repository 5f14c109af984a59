import { read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel in this file; one invocation per particle. */
export const stageWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${stageWorkgroup})`;
const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
const particle = wgsl`let p = id.x + id.y * groups.x * ${stageWorkgroup}u;
  if (p >= params.capacity) { return; }`;

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
${head}
fn stage_input${signature} {
  ${particle}
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
${head}
fn add_stages${signature} {
  ${particle}
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

/** Input rows that stay the same along a trajectory: one-hot class (all zeros for the null class), then context. */
export const conditionRowsKernel = oncePerShape(({ labels, context }: { labels: boolean; context: boolean }) =>
  kernel({
    label: "condition rows",
    entryPoint: "condition_rows",
    params: { capacity: "u32", count: "u32", row: "u32", classes: "u32", context: "u32" },
    buffers: {
      inputs: write("array<f32>"),
      labels: labels && read("array<u32>"),
      context: context && read("array<f32>"),
    },
    code: wgsl`
${head}
fn condition_rows${signature} {
  ${particle}
  let q = min(p, params.count - 1u);
  var label = 0xffffffffu;
#if ${labels}
  label = labels[q];
#endif
  for (var c = 0u; c < params.classes; c++) {
    inputs[(params.row + c) * params.capacity + p] = select(0.0, 1.0, c == label);
  }
#if ${context}
  for (var c = 0u; c < params.context; c++) {
    inputs[(params.row + params.classes + c) * params.capacity + p] = context[q * params.context + c];
  }
#endif
}
`,
  }),
);

/** Guidance: target = weight·value, or + weight·value, over all [dim][capacity] elements. */
export const mixKernel = oncePerShape(({ add }: { add: boolean }) =>
  kernel({
    label: add ? "mix: add" : "mix: begin",
    entryPoint: "mix_branch",
    params: { capacity: "u32", dim: "u32", weight: "f32" },
    buffers: { value: read("array<f32>"), target_rows: write("array<f32>") },
    code: wgsl`
${head}
fn mix_branch${signature} {
  ${particle}
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

/** The end of a step: x⁺ = x + Σ h b_i k_i; the increment is summed before it meets x, which is larger. */
export const finishStepKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: `finish step of ${stages} stages`,
    entryPoint: "finish_step",
    params: { capacity: "u32", dim: "u32", ...several("b", stages, "f32") },
    buffers: { state: write("array<f32>"), ...several("k", stages, read("array<f32>")) },
    code: wgsl`
${head}
fn finish_step${signature} {
  ${particle}
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

/** Fills [tangents][dim][capacity] with the unit vectors e_first, e_first+1, … or with probes first, first + 1, … */
export const tangentInputKernel = oncePerShape(({ basis }: { basis: boolean }) =>
  kernel({
    label: basis ? "basis tangents" : "probe tangents",
    entryPoint: "tangent_input",
    params: { capacity: "u32", dim: "u32", first: "u32", tangents: "u32" },
    buffers: { tangents: write("array<f32>"), probes: !basis && read("array<f32>") },
    code: wgsl`
${head}
fn tangent_input${signature} {
  ${particle}
  for (var s = 0u; s < params.tangents; s++) {
    for (var i = 0u; i < params.dim; i++) {
      let at = (s * params.dim + i) * params.capacity + p;
#if ${basis}
      tangents[at] = select(0.0, 1.0, i == params.first + s);
#else
      tangents[at] = probes[params.first * params.dim * params.capacity + at];
#endif
    }
  }
}
`,
  }),
);

/**
 * Adds weight·(v_s · J v_s) of every tangent s to a sum: all into row 0 (`each` false), or tangent s into row first + s.
 * Unit vectors pick one element instead of a dot product.
 */
export const tangentDotKernel = oncePerShape(({ basis, each }: { basis: boolean; each: boolean }) =>
  kernel({
    label: `divergence from ${basis ? "basis" : "probe"} tangents`,
    entryPoint: "tangent_dot",
    params: { capacity: "u32", dim: "u32", first: "u32", tangents: "u32", weight: "f32", begin: "u32" },
    buffers: { products: read("array<f32>"), sums: write("array<f32>"), tangents: !basis && read("array<f32>") },
    code: wgsl`
${head}
fn tangent_dot${signature} {
  ${particle}
  var total = 0.0;
  for (var s = 0u; s < params.tangents; s++) {
#if ${basis}
    let value = products[(s * params.dim + params.first + s) * params.capacity + p];
#else
    var value = 0.0;
    for (var i = 0u; i < params.dim; i++) {
      let at = (s * params.dim + i) * params.capacity + p;
      value = fma(tangents[at], products[at], value);
    }
#endif
#if ${each}
    let row = (params.first + s) * params.capacity + p;
    // a fresh sum does not read what was there, which may be anything
    sums[row] = fma(params.weight, value, select(0.0, sums[row], params.begin == 0u));
#else
    total += value;
#endif
  }
#if ${!each}
  let before = select(0.0, sums[p], params.begin == 0u);
  sums[p] = fma(params.weight, total, before);
#endif
}
`,
  }),
);
