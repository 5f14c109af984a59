import { type Kernel, oncePerShape } from "./kernel.ts";
import type { SourceKind } from "./particles.ts";
import { random } from "./random.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel in this file; one invocation per sample of the batch. */
export const likelihoodWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${likelihoodWorkgroup})`;
const signature = "(@builtin(global_invocation_id) id: vec3u)";
const sample = wgsl`let p = id.x;
  if (p >= params.capacity) { return; }`;

/**
 * Draws the rows of a batch from the data by the samples' numbers since the start of training, in the flow's own space.
 * Buffers: data [rows][dim], affine (mean, scale, rest of the mean), state [dim][capacity], [all labels, labels [count]],
 * [all context, context [count][context]].
 */
export const drawRowsKernel = oncePerShape(
  ({ labels, context }: { labels: boolean; context: boolean }): Kernel => ({
    label: "draw rows of data",
    entryPoint: "draw_rows",
    bindings: [
      "params",
      "read",
      "read",
      "write",
      ...(labels ? (["read", "write"] as const) : []),
      ...(context ? (["read", "write"] as const) : []),
    ],
    code: wgsl`
struct Params {
  capacity: u32, dim: u32, count: u32, rows: u32, first_low: u32, first_high: u32, key_low: u32, key_high: u32, stream: u32, context: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<f32>;
@group(0) @binding(2) var<storage, read> affine: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
#if ${labels}
@group(0) @binding(4) var<storage, read> all_labels: array<u32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
#endif
#if ${context}
@group(0) @binding(${labels ? 6 : 4}) var<storage, read> all_context: array<f32>;
@group(0) @binding(${labels ? 7 : 5}) var<storage, read_write> context: array<f32>;
#endif
${random}

${head}
fn draw_rows${signature} {
  ${sample}
  let low = params.first_low + p;
  let high = params.first_high + select(0u, 1u, low < p);
  let row = random_index(philox(vec4u(low, high, 0u, params.stream), vec2u(params.key_low, params.key_high)).x, params.rows);
  for (var i = 0u; i < params.dim; i++) {
    state[i * params.capacity + p] = ((data[row * params.dim + i] - affine[i]) - affine[2u * params.dim + i]) / affine[params.dim + i];
  }
  if (p >= params.count) { return; }
#if ${labels}
  labels[p] = all_labels[row];
#endif
#if ${context}
  for (var c = 0u; c < params.context; c++) { context[p * params.context + c] = all_context[row * params.context + c]; }
#endif
}
`,
  }),
);

/** The gradient of −scale·Σ log p_0 at the end of the solve: (x − mean)/std² for a Gaussian, 0 on a box; padding counts nothing. */
export const sourceScoreKernel = oncePerShape(
  ({ kind }: { kind: SourceKind }): Kernel => ({
    label: `${kind} source score`,
    entryPoint: "source_score",
    bindings: ["params", "read", "read", "write"],
    code: wgsl`
struct Params { capacity: u32, dim: u32, count: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> state: array<f32>;
@group(0) @binding(3) var<storage, read_write> adjoint: array<f32>;

${head}
fn source_score${signature} {
  ${sample}
  let scale = select(0.0, params.scale, p < params.count);
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
#if ${kind === "gaussian"}
    let deviation = source[params.dim + i];
    adjoint[at] = scale * ((state[at] - source[i]) / deviation / deviation);
#else
    adjoint[at] = 0.0;
#endif
  }
}
`,
  }),
);

/** target = Σ w_j·rows_j over [dim][capacity], added to what is there or not; zeros when there is none. Buffers: target, then the rows. */
export const combineKernel = oncePerShape(
  ({ terms, add }: { terms: number; add: boolean }): Kernel => ({
    label: `combine ${terms} rows${add ? " and what is there" : ""}`,
    entryPoint: "combine",
    bindings: ["params", "write", ...Array.from({ length: terms }, () => "read" as const)],
    code: wgsl`
struct Params { capacity: u32, dim: u32, ${Array.from({ length: terms }, (_, j) => `w${j}: f32`).join(", ")} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> target_rows: array<f32>;
${lines(terms, (j) => `@group(0) @binding(${2 + j}) var<storage, read> rows${j}: array<f32>;`)}

${head}
fn combine${signature} {
  ${sample}
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var sum = ${add ? "target_rows[at]" : "0.0"};
    ${lines(terms, (j) => `sum = fma(params.w${j}, rows${j}[at], sum);`)}
    target_rows[at] = sum;
  }
}
`,
  }),
);
