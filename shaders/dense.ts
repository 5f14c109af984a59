import { activationText } from "./activation.ts";
import { type Kernel, oncePerShape } from "./kernel.ts";
import { components } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Register tile of the dense kernels: each invocation owns 4·groups particles and 4·quads outputs. */
export interface DenseTile {
  readonly groups: number;
  readonly quads: number;
  /** Inputs that are added with one assignment per sum: registers that change in a loop are costly on software adapters. */
  readonly unroll: number;
  readonly workgroupSize: number;
  /** Subgroup size, at least `quads`, when its lanes fetch the weights of a tile for each other; else 0. */
  readonly gather: number;
}

export const plainTile: DenseTile = { groups: 2, quads: 1, unroll: 4, workgroupSize: 64, gather: 0 };

/** What happens to a layer's sums: φ; φ and φ' kept; times a kept φ'; nothing. */
export type DenseEpilogue = "activate" | "activate and keep slope" | "scale by slope" | "none";

export interface DenseShape {
  readonly epilogue: DenseEpilogue;
  readonly bias: boolean;
  /** Only for the epilogues that activate. */
  readonly activation: string;
  readonly tile: DenseTile;
}

/**
 * One layer for all particles: out = epilogue(W·in + b), activations feature-major [features][stride] with four particles a vec4f,
 * weights [input][outputs padded to 4]. With `z` the batch index (tangents), `in` and `out` advance by whole matrices.
 * Serves forward passes, tangents and, with the other packing of W, the reverse pass.
 */
export const denseKernel = oncePerShape(({ epilogue, bias, activation, tile }: DenseShape): Kernel => {
  const { groups, quads, unroll, workgroupSize, gather } = tile;
  const activates = epilogue === "activate" || epilogue === "activate and keep slope";
  const keeps = epilogue === "activate and keep slope";
  const scales = epilogue === "scale by slope";
  const g = Array.from({ length: groups }, (_, i) => i);
  const q = Array.from({ length: quads }, (_, i) => i);
  const tiles = g.flatMap((gi) =>
    q.flatMap((qi) => components.map((c, r) => ({ gi, qi, c, r, name: `a${gi}_${4 * qi + r}` }))),
  );
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
  /**
   * Inputs k, k + 1, … k + count − 1 into all sums, in this order. With `gather`, lane i of a subgroup reads quad i of the tile
   * and all get it by broadcast.
   */
  const inputsText = (count: number) => {
    const u = Array.from({ length: count }, (_, n) => n);
    const loads = u.map((n) => [
      ...g.map((gi) => `let h${gi}_${n} = input[in_base + (k + ${n}u) * params.stride + p${gi}];`),
      ...(gather > 0
        ? [
            `let fetched${n} = weights[params.weights + (k + ${n}u) * params.row_vectors + min(quad + lane, params.row_vectors - 1u)];`,
            ...q.map((qi) => `let w${qi}_${n} = subgroupBroadcast(fetched${n}, ${qi}u);`),
          ]
        : q.map((qi) => `let w${qi}_${n} = weights[params.weights + (k + ${n}u) * params.row_vectors + q${qi}];`)),
    ]);
    const sums = tiles.map(
      ({ gi, qi, c, name }) =>
        `${name} = ${u.reduce((sum, n) => `fma(h${gi}_${n}, vec4f(w${qi}_${n}.${c}), ${sum})`, name)};`,
    );
    return [...loads.flat(), ...sums].join("\n    ");
  };
  return {
    label: `dense layer, ${epilogue}${activates ? ` (${activation})` : ""}`,
    entryPoint: "dense",
    bindings: [
      "params",
      "read",
      "read",
      "write",
      ...(keeps ? (["write"] as const) : scales ? (["read"] as const) : []),
    ],
    code: wgsl`
#if ${gather > 0}
enable subgroups;
#endif
struct Params {
  first: u32, vectors: u32, stride: u32, inputs: u32, outputs: u32,
  weights: u32, row_vectors: u32, bias: u32, in_batch: u32, out_batch: u32, first_quad: u32,
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
fn dense(@builtin(global_invocation_id) id: vec3u${gather > 0 ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
  // surplus invocations repeat the last tile and store nothing, so that subgroups stay whole
  let tile = min(id.x, (params.vectors - 1u) / ${groups}u) * ${groups}u;
  let valid = select(0u, params.vectors - tile, id.x * ${groups}u < params.vectors);
  let quad = params.first_quad + id.y * ${quads}u;
  let row = quad * 4u;
  // surplus vectors of the last tile repeat a valid one and are not stored
  ${lines(groups, (gi) => `let p${gi} = params.first + min(tile + ${gi}u, params.vectors - 1u);`)}
  let in_base = id.z * params.in_batch;
  let out_base = id.z * params.out_batch;
  ${lines(quads, (qi) => `let q${qi} = min(quad + ${qi}u, params.row_vectors - 1u);`)}
#if ${bias}
  ${lines(quads, (qi) => `let b${qi} = weights[params.bias + q${qi}];`)}
  ${tiles.map(({ qi, c, name }) => `var ${name} = vec4f(b${qi}.${c});`).join("\n")}
#else
  ${tiles.map(({ name }) => `var ${name} = vec4f(0.0);`).join("\n")}
#endif
  let whole = params.inputs - params.inputs % ${unroll}u;
  for (var k = 0u; k < whole; k += ${unroll}u) {
    ${inputsText(unroll)}
  }
  for (var k = whole; k < params.inputs; k++) {
    ${inputsText(1)}
  }
  ${store.join("\n")}
}
`,
  };
});
