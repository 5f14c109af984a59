import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { nowhere } from "./weight-gradient.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Tile of {@link residentGradientKernel}. */
export interface ResidentTile {
  /** Particle vectors that an invocation holds. */
  readonly vectors: number;
  /** Inputs whose values it holds for those particles. */
  readonly inputs: number;
  /** Size of the subgroups whose invocations add their sums; 0 when each invocation writes its own. */
  readonly subgroup: number;
  /** Whether tiles cover the layer's inputs exactly: checks and branches at the stores cost more than the sums. */
  readonly whole: boolean;
  /** Whether the sums are added to what is in `partials`. */
  readonly accumulate: boolean;
}

export const residentWorkgroup = 32;

/**
 * Partial weight gradients of one layer like {@link weightGradientKernel}, for adapters with slow loads: an invocation holds the
 * inputs of a few particles in registers and streams all output rows past them, straight-line, so that a load serves `inputs`
 * products. ∂W[o][i] = Σ_p c[o][p] h[i][p] over all row vectors, ∂b[o] = Σ_p c[o][p] over the first `value_vectors` (a bias
 * moves no tangent). Every subgroup (or invocation) leaves one copy in `partials`.
 */
export const residentGradientKernel = oncePerShape((tile: ResidentTile) => {
  const { vectors, inputs, subgroup, whole, accumulate } = tile;
  const sum = subgroup > 0;
  const put = accumulate ? "+=" : "=";
  const total = (o: string) => (sum ? `subgroupAdd(${o})` : o);
  const chain = (i: number) =>
    Array.from({ length: vectors }, (_, v) => v).reduce(
      (text, v) => (v === 0 ? `c0 * h${i}_0` : `fma(c${v}, h${i}_${v}, ${text})`),
      "",
    );
  return kernel({
    label: `resident weight gradient, ${vectors}×${inputs}${whole ? " whole" : ""}${accumulate ? ", added" : ""}`,
    entryPoint: "weight_gradient",
    enable: sum ? ["subgroups"] : [],
    params: {
      first: "u32",
      row_vectors: "u32",
      value_vectors: "u32",
      segments: "u32",
      cotangent_row: "u32",
      input_row: "u32",
      inputs: "u32",
      outputs: "u32",
      weight_offset: "u32",
      row_length: "u32",
      bias_offset: "u32",
      parameters: "u32",
    },
    buffers: { cotangents: read("array<vec4f>"), inputs: read("array<vec4f>"), partials: write("array<f32>") },
    code: wgsl`
@compute @workgroup_size(${residentWorkgroup})
fn weight_gradient(@builtin(global_invocation_id) id: vec3u${sum ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
  let i0 = id.y * ${inputs}u;
  let segment = id.x${sum ? ` / ${subgroup}u` : ""};
  let writes = segment < params.segments${sum ? " && lane == 0u" : ""};
  let base = segment * params.parameters;
  // vectors beyond the row count as zero and are read from its end, so that subgroups stay whole
  ${lines(
    vectors,
    (
      v,
    ) => `let p${v} = params.first + segment * ${vectors * Math.max(1, subgroup)}u + ${sum ? `${v * subgroup}u + lane` : `${v}u`};
  let at${v} = min(p${v}, params.row_vectors - 1u);
  let live${v} = segment < params.segments && p${v} < params.row_vectors;
  let value${v} = p${v} < params.value_vectors;`,
  )}
  ${lines(inputs, (i) => `let row${i} = (params.input_row + min(i0 + ${i}u, params.inputs - 1u)) * params.row_vectors;\n${lines(vectors, (v) => `let h${i}_${v} = inputs[row${i} + at${v}];`)}`)}
  for (var o = 0u; o < params.outputs; o++) {
    let row = (params.cotangent_row + o) * params.row_vectors;
    ${lines(vectors, (v) => `let c${v} = select(vec4f(0.0), cotangents[row + at${v}], live${v});`)}
    ${lines(inputs, (i) => `let v${i} = ${chain(i)};\nlet t${i} = ${total(`(v${i}.x + v${i}.y) + (v${i}.z + v${i}.w)`)};`)}
    let ones = ${Array.from({ length: vectors }, (_, v) => `select(vec4f(0.0), c${v}, value${v})`).join(" + ")};
    let bias = ${total("(ones.x + ones.y) + (ones.z + ones.w)")};
    if (writes) {
      let place = base + params.weight_offset + o * params.row_length + i0;
      ${lines(inputs, (i) =>
        whole
          ? `partials[place + ${i}u] ${put} t${i};`
          : `if (i0 + ${i}u < params.inputs && params.weight_offset != ${nowhere}u) { partials[place + ${i}u] ${put} t${i}; }`,
      )}
      // every tile of inputs finds the same bias; the first one's is kept
      if (id.y == 0u && params.bias_offset != ${nowhere}u) { partials[base + params.bias_offset + o] ${put} bias; }
    }
  }
}
`,
  });
});
