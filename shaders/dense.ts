import { activationText } from "./activation.ts";
import type { Kernel } from "./kernel.ts";
import { components } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Register tile of the dense kernels: each invocation owns 4·groups particles and 4·quads outputs. */
export const denseTile = { groups: 2, quads: 1, workgroupSize: 64 } as const;

/** What happens to a layer's sums: φ; φ and φ' kept; times a kept φ'; nothing. */
export type DenseEpilogue = "activate" | "activate and keep slope" | "scale by slope" | "none";

export interface DenseShape {
  readonly epilogue: DenseEpilogue;
  readonly bias: boolean;
  /** Only for the epilogues that activate. */
  readonly activation: string;
}

/**
 * One layer for all particles: out = epilogue(W·in + b), activations feature-major [features][stride] with four particles a vec4f,
 * weights [input][outputs padded to 4]. With `z` the batch index (tangents), `in` and `out` advance by whole matrices.
 * Serves forward passes, tangents and, with the other packing of W, the reverse pass.
 */
export function denseKernel({ epilogue, bias, activation }: DenseShape): Kernel {
  const { groups, quads, workgroupSize } = denseTile;
  const activates = epilogue === "activate" || epilogue === "activate and keep slope";
  const keeps = epilogue === "activate and keep slope";
  const scales = epilogue === "scale by slope";
  const g = Array.from({ length: groups }, (_, i) => i);
  const q = Array.from({ length: quads }, (_, i) => i);
  const tiles = g.flatMap((gi) => q.flatMap((qi) => components.map((c, r) => ({ gi, qi, c, r, name: `a${gi}_${4 * qi + r}` }))));
  const store = tiles.map(({ gi, qi, r, name }) => {
    const row = `(row + ${4 * qi + r}u)`;
    const at = `[${row} * params.stride + p${gi}]`;
    const value = {
      activate: `output[out_base + ${row} * params.stride + p${gi}] = activate(${name});`,
      "activate and keep slope": `let n${name} = activate_with_slope(${name}); output[out_base + ${row} * params.stride + p${gi}] = n${name}.value; slopes${at} = n${name}.slope;`,
      "scale by slope": `output[out_base + ${row} * params.stride + p${gi}] = ${name} * slopes${at};`,
      none: `output[out_base + ${row} * params.stride + p${gi}] = ${name};`,
    }[epilogue];
    return `if (row + ${4 * qi + r}u < params.outputs && ${gi}u < valid) { ${value} }`;
  });
  return {
    label: `dense layer, ${epilogue}${activates ? ` (${activation})` : ""}`,
    entryPoint: "dense",
    bindings: ["params", "read", "read", "write", ...(keeps ? (["write"] as const) : scales ? (["read"] as const) : [])],
    code: wgsl`
struct Params {
  first: u32, vectors: u32, stride: u32, inputs: u32, outputs: u32,
  weights: u32, row_vectors: u32, bias: u32, in_batch: u32, out_batch: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read> input: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;
#if ${keeps}
@group(0) @binding(4) var<storage, read_write> slopes: array<vec4f>;
#elif ${scales}
@group(0) @binding(4) var<storage, read> slopes: array<vec4f>;
#endif
${activates ? activationText(activation, "vec4f") : ""}

@compute @workgroup_size(${workgroupSize})
fn dense(@builtin(global_invocation_id) id: vec3u) {
  let tile = id.x * ${groups}u;
  if (tile >= params.vectors) { return; }
  let valid = params.vectors - tile;
  let quad = id.y * ${quads}u;
  let row = quad * 4u;
  // surplus vectors of the last tile repeat a valid one and are not stored
  ${lines(groups, (gi) => `let p${gi} = params.first + tile + min(${gi}u, valid - 1u);`)}
  let in_base = id.z * params.in_batch;
  let out_base = id.z * params.out_batch;
  ${lines(quads, (qi) => `let q${qi} = min(quad + ${qi}u, params.row_vectors - 1u);`)}
#if ${bias}
  ${lines(quads, (qi) => `let b${qi} = weights[params.bias + q${qi}];`)}
  ${tiles.map(({ qi, c, name }) => `var ${name} = vec4f(b${qi}.${c});`).join("\n")}
#else
  ${tiles.map(({ name }) => `var ${name} = vec4f(0.0);`).join("\n")}
#endif
  for (var k = 0u; k < params.inputs; k++) {
    ${lines(groups, (gi) => `let h${gi} = input[in_base + k * params.stride + p${gi}];`)}
    ${lines(quads, (qi) => `let w${qi} = weights[params.weights + k * params.row_vectors + q${qi}];`)}
    ${tiles.map(({ gi, qi, c, name }) => `${name} = fma(h${gi}, vec4f(w${qi}.${c}), ${name});`).join("\n")}
  }
  ${store.join("\n")}
}
`,
  };
}

/** Register tile of the weight gradient: outputs × inputs per invocation. */
export const gradientTile = 4;

/**
 * Partial weight gradients of one layer: ∂W[o][i] = Σ_p ā[o][p] h[i][p] over one segment of the particles, and ∂b[o] as the
 * input of ones. Written in the flat order of the parameters, one copy per segment; segments are added later, in order.
 */
export const weightGradientKernel: Kernel = {
  label: "weight gradient",
  entryPoint: "weight_gradient",
  bindings: ["params", "read", "read", "write"],
  code: wgsl`
struct Params {
  stride: u32, vectors: u32, segment_vectors: u32, inputs: u32, outputs: u32,
  weight_offset: u32, bias_offset: u32, parameters: u32, swap_x: u32, swap_time: u32, segment: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cotangents: array<vec4f>;
@group(0) @binding(2) var<storage, read> inputs: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

// our input rows are x, time, …; the network's own columns may have time first
fn column(i: u32) -> u32 {
  if (i < params.swap_x) { return i + params.swap_time; }
  if (i < params.swap_x + params.swap_time) { return i - params.swap_x; }
  return i;
}

@compute @workgroup_size(8, 8)
fn weight_gradient(@builtin(global_invocation_id) id: vec3u) {
  let i0 = id.x * ${gradientTile}u;
  let o0 = id.y * ${gradientTile}u;
  if (i0 > params.inputs || o0 >= params.outputs) { return; }
  let segment = id.z + params.segment;
  let start = segment * params.segment_vectors;
  let end = min(start + params.segment_vectors, params.vectors);
  ${lines(gradientTile, (j) => `let i${j}_row = min(i0 + ${j}u, params.inputs - 1u) * params.stride;`)}
  ${lines(gradientTile, (j) => `let o${j}_row = min(o0 + ${j}u, params.outputs - 1u) * params.stride;`)}
  ${lines(gradientTile, (j) => `let ones${j} = i0 + ${j}u == params.inputs;`)}
  ${lines(gradientTile, (o) => lines(gradientTile, (i) => `var s${o}_${i} = vec4f(0.0);`))}
  for (var p = start; p < end; p++) {
    ${lines(gradientTile, (j) => `let h${j} = select(inputs[i${j}_row + p], vec4f(1.0), ones${j});`)}
    ${lines(gradientTile, (j) => `let c${j} = cotangents[o${j}_row + p];`)}
    ${lines(gradientTile, (o) => lines(gradientTile, (i) => `s${o}_${i} = fma(c${o}, h${i}, s${o}_${i});`))}
  }
  let base = segment * params.parameters;
  ${lines(gradientTile, (o) =>
    lines(
      gradientTile,
      (i) => `{
    let total = (s${o}_${i}.x + s${o}_${i}.y) + (s${o}_${i}.z + s${o}_${i}.w);
    if (o0 + ${o}u < params.outputs) {
      if (i0 + ${i}u < params.inputs) {
        partials[base + params.weight_offset + (o0 + ${o}u) * params.inputs + column(i0 + ${i}u)] = total;
      } else if (ones${i}) {
        partials[base + params.bias_offset + o0 + ${o}u] = total;
      }
    }
  }`,
    ),
  )}
}
`,
};
