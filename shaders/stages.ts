import { type Kernel, oncePerShape } from "./kernel.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel in this file; one invocation per particle. */
export const stageWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${stageWorkgroup})`;
const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
const particle = wgsl`let p = id.x + id.y * groups.x * ${stageWorkgroup}u;
  if (p >= params.capacity) { return; }`;
/** The rest of a params block: a number for each stage. */
const coefficients = (name: string, count: number) =>
  Array.from({ length: count }, (_, j) => `, ${name}${j}: f32`).join("");
const repeated = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

/**
 * Input rows of the network for one Runge–Kutta stage: x + Σ h a_j k_j, then the time.
 * With `times` the time is read per particle, else it is the same for all. Rows of class and context are left alone.
 */
export const stageInputKernel = oncePerShape(({ previous, times }: { previous: number; times: boolean }): Kernel => {
  const stages = Array.from({ length: previous }, (_, j) => j);
  return {
    label: `stage input after ${previous} stages${times ? ", times per particle" : ""}`,
    entryPoint: "stage_input",
    bindings: [
      "params",
      "read",
      "write",
      ...repeated(previous, "read" as const),
      ...repeated(times ? 1 : 0, "read" as const),
    ],
    code: wgsl`
struct Params { capacity: u32, dim: u32, time: f32${coefficients("a", previous)} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<f32>;
@group(0) @binding(2) var<storage, read_write> inputs: array<f32>;
${stages.map((j) => `@group(0) @binding(${3 + j}) var<storage, read> k${j}: array<f32>;`).join("\n")}
#if ${times}
@group(0) @binding(${3 + previous}) var<storage, read> times: array<f32>;
#endif

${head}
fn stage_input${signature} {
  ${particle}
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var y = state[at];
    ${stages.map((j) => `y = fma(params.a${j}, k${j}[at], y);`).join("\n    ")}
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
  };
});

/** More stages for the input rows that {@link stageInputKernel} has begun: inputs += Σ h a_j k_j. */
export const addStagesKernel = oncePerShape(({ stages }: { stages: number }): Kernel => {
  return {
    label: `stage input, ${stages} more stages`,
    entryPoint: "add_stages",
    bindings: ["params", "write", ...repeated(stages, "read" as const)],
    code: wgsl`
struct Params { capacity: u32, dim: u32${coefficients("a", stages)} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> inputs: array<f32>;
${lines(stages, (j) => `@group(0) @binding(${2 + j}) var<storage, read> k${j}: array<f32>;`)}

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
  };
});

/** Input rows that stay the same along a trajectory: one-hot class (all zeros for the null class), then context. */
export const conditionRowsKernel = oncePerShape(
  ({ labels, context }: { labels: boolean; context: boolean }): Kernel => {
    return {
      label: "condition rows",
      entryPoint: "condition_rows",
      bindings: ["params", "write", ...repeated(Number(labels) + Number(context), "read" as const)],
      code: wgsl`
struct Params { capacity: u32, count: u32, row: u32, classes: u32, context: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> inputs: array<f32>;
#if ${labels}
@group(0) @binding(2) var<storage, read> labels: array<u32>;
#endif
#if ${context}
@group(0) @binding(${labels ? 3 : 2}) var<storage, read> context: array<f32>;
#endif

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
    };
  },
);

/** Guidance: target = weight·value, or + weight·value, over all [dim][capacity] elements. */
export const mixKernel = oncePerShape(({ add }: { add: boolean }): Kernel => {
  return {
    label: add ? "mix: add" : "mix: begin",
    entryPoint: "mix_branch",
    bindings: ["params", "read", "write"],
    code: wgsl`
struct Params { capacity: u32, dim: u32, weight: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> value: array<f32>;
@group(0) @binding(2) var<storage, read_write> target_rows: array<f32>;

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
  };
});

/** The end of a step: x⁺ = x + Σ h b_i k_i; the increment is summed before it meets x, which is larger. */
export const finishStepKernel = oncePerShape(({ stages }: { stages: number }): Kernel => {
  return {
    label: `finish step of ${stages} stages`,
    entryPoint: "finish_step",
    bindings: ["params", "write", ...repeated(stages, "read" as const)],
    code: wgsl`
struct Params { capacity: u32, dim: u32${coefficients("b", stages)} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> state: array<f32>;
${lines(stages, (j) => `@group(0) @binding(${2 + j}) var<storage, read> k${j}: array<f32>;`)}

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
  };
});

/** Fills [tangents][dim][capacity] with the unit vectors e_first, e_first+1, … or with probes first, first + 1, … */
export const tangentInputKernel = oncePerShape(({ basis }: { basis: boolean }): Kernel => {
  return {
    label: basis ? "basis tangents" : "probe tangents",
    entryPoint: "tangent_input",
    bindings: basis ? ["params", "write"] : ["params", "write", "read"],
    code: wgsl`
struct Params { capacity: u32, dim: u32, first: u32, tangents: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tangents: array<f32>;
#if ${!basis}
@group(0) @binding(2) var<storage, read> probes: array<f32>;
#endif

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
  };
});

/**
 * Adds weight·(v_s · J v_s) of every tangent s to a sum: all into row 0 (`each` false), or tangent s into row first + s.
 * Unit vectors pick one element instead of a dot product.
 */
export const tangentDotKernel = oncePerShape(({ basis, each }: { basis: boolean; each: boolean }): Kernel => {
  return {
    label: `divergence from ${basis ? "basis" : "probe"} tangents`,
    entryPoint: "tangent_dot",
    bindings: basis ? ["params", "read", "write"] : ["params", "read", "write", "read"],
    code: wgsl`
struct Params { capacity: u32, dim: u32, first: u32, tangents: u32, weight: f32, begin: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
#if ${!basis}
@group(0) @binding(3) var<storage, read> tangents: array<f32>;
#endif

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
  };
});
