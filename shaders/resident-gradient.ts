import { item } from "../src/must.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { components } from "./tiling.ts";
import { nowhere } from "./weight-gradient.ts";
import { lines, ownParams, quotientOf, restOf, wgsl } from "./wgsl.ts";

/** Tile of {@link residentGradientKernel}. */
export interface ResidentTile {
  /** Particle vectors that an invocation holds. */
  readonly vectors: number;
  /** Inputs whose values it holds for those particles: a multiple of `subgroup`. */
  readonly inputs: number;
  /** Size of the subgroups whose invocations add their sums, a power of two; 0 when each invocation writes its own. */
  readonly subgroup: number;
  /** Whether sums may be added to what is in `partials`, which `params.keeps` decides, and may be of several sources, one after the other. */
  readonly adds: boolean;
}

/** A workgroup is a subgroup, so that none idles where there are few particles. */
export const residentWorkgroup = ({ subgroup }: Pick<ResidentTile, "subgroup">) => subgroup || 8;

/**
 * Text of the sums over a subgroup of as many numbers as it has invocations, of which each gets one: halves are exchanged, then
 * quarters, …, so that a sum costs less than two additions. What is in `lane_bit`s tells which half an invocation keeps.
 */
function transposedSums(names: readonly string[], name: string): { text: string; sum: string } {
  const text: string[] = [];
  const isQuad = names.length === 4;
  let left = names;
  for (let step = 1; left.length > 1; step *= 2) {
    const next: string[] = [];
    for (let i = 0; i < left.length; i += 2) {
      const [even, odd, sum] = [left[i], left[i + 1], `${name}_${step}_${i}`];
      const given = `select(${odd}, ${even}, lane_bit${step})`;
      // one instruction on SwiftShader, where a shuffle is a score
      const exchanged = isQuad
        ? `quadSwap${step === 1 ? "X" : "Y"}(${given})`
        : `subgroupShuffleXor(${given}, ${step}u)`;
      text.push(`let ${sum} = select(${even}, ${odd}, lane_bit${step}) + ${exchanged};`);
      next.push(sum);
    }
    left = next;
  }
  return { text: text.join("\n"), sum: item(left, 0) };
}

/**
 * Partial weight gradients of one layer like {@link weightGradientKernel}, for adapters with slow loads: an invocation holds the
 * inputs of a few particles in registers and streams all output rows past them, straight-line, so that a load serves `inputs`
 * products. ∂W[o][i] = Σ_p c[o][p] h[i][p] over all row vectors, ∂b[o] = Σ_p c[o][p] over the first `value_vectors` (a bias
 * moves no tangent). Every subgroup (or invocation) leaves one copy in `partials`.
 */
export const residentGradientKernel = oncePerShape((tile: ResidentTile) => {
  const { vectors, inputs, subgroup, adds } = tile;
  const sums = subgroup > 0;
  const isQuad = subgroup === 4;
  const lanes = Math.max(1, subgroup);
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
  const chain = (i: number) =>
    upTo(vectors).reduce((text, v) => (v === 0 ? `c0 * h${i}_0` : `fma(c${v}, h${i}_${v}, ${text})`), "");
  /**
   * The sums of the inputs over the particles of an invocation. On SwiftShader a sum is one number that is added to until it is whole: its
   * compiler has a register for that, the particle's input is loaded, and the cotangent multiplied from where it lies; sums that take
   * turns are stored and loaded for each product.
   */
  const sum = (i: number) =>
    isQuad
      ? [
          `var t${i} = 0.0;`,
          ...upTo(vectors).flatMap((v) => components.map((c) => `t${i} = fma(h${i}_${v}.${c}, c${v}.${c}, t${i});`)),
        ].join("\n")
      : `let v${i} = ${chain(i)};\nlet t${i} = (v${i}.x + v${i}.y) + (v${i}.z + v${i}.w);`;
  // a lane without particles multiplies by zero; where loads cost more than choices, for each input instead of each cotangent
  const given = (name: string, at: string, live: string, isChosen: boolean) =>
    isChosen ? `select(vec4f(0.0), ${name}[${at}], ${live})` : `${name}[${at}]`;
  /** Stores the sum of a column where the layer has one; a place that is not written is not read either. */
  const put = (column: string, sum: string) => `if (segment < params.segments && ${column} < columns) {
      ${store(`place + ${column}`, sum)}
    }`;
  const store = (at: string, sum: string) =>
    adds
      ? `let at = ${at};\npartials[at] = ${sum} + select(0.0, partials[at], params.keeps != 0u || source > 0u);`
      : `partials[${at}] = ${sum};`;
  /** The first row of a source's cotangents or inputs: sources are turns, each with so many tangents. */
  const rowOf = (name: string) =>
    adds
      ? `params.${name}_row + source / params.tangents * params.${name}_turn + source % params.tangents * params.${name}_rows`
      : `params.${name}_row`;
  const stores = sums
    ? upTo(inputs / subgroup).map((q) => {
        const columns = upTo(subgroup).map((j) => `t${q * subgroup + j}`);
        const { text, sum } = transposedSums(columns, `s${q}`);
        return `${text}\n${put(`i0 + ${q * subgroup}u + lane`, sum)}`;
      })
    : upTo(inputs).map((i) => put(`i0 + ${i}u`, `t${i}`));
  const isFirstTile = isQuad ? "workgroup.y == 0u" : "id.y == 0u";
  const keepsBias = `${isFirstTile} && params.bias_offset != ${nowhere}u`;
  const bias = `let ones = ${upTo(vectors)
    .map((v) => `select(vec4f(0.0), c${v}, value${v})`)
    .join(" + ")};
    let one = (ones.x + ones.y) + (ones.z + ones.w);
    let bias = ${sums ? "subgroupAdd(one)" : "one"};`;
  const putBias = (condition: string) =>
    `if (segment < params.segments${sums ? " && lane == 0u" : ""}${condition}) {
      ${store("base + params.bias_offset + o", "bias")}
    }`;
  // every tile of inputs finds the same bias; the first one's is kept
  const biasText = isQuad
    ? `if (${keepsBias}) {\n${bias}\n${putBias("")}\n}`
    : `${bias}\n${putBias(` && ${keepsBias}`)}`;
  return kernel({
    label: `resident weight gradient, ${vectors}×${inputs}${adds ? ", added" : ""}`,
    entryPoint: "weight_gradient",
    enable: sums ? ["subgroups"] : [],
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
      keeps: adds && "u32",
      sources: adds && "u32",
      tangents: adds && "u32",
      cotangent_rows: adds && "u32",
      cotangent_turn: adds && "u32",
      input_rows: adds && "u32",
      input_turn: adds && "u32",
    },
    buffers: { cotangents: read("array<vec4f>"), inputs: read("array<vec4f>"), partials: write("array<f32>") },
    code: wgsl`
@compute @workgroup_size(${residentWorkgroup(tile)})
fn weight_gradient(@builtin(global_invocation_id) id: vec3u${isQuad ? ", @builtin(workgroup_id) workgroup: vec3u" : ""}${sums ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
  ${isQuad ? ownParams : ""}
  let i0 = id.y * ${inputs}u;
  let segment = id.x${sums ? ` / ${subgroup}u` : ""};
  let base = segment * params.parameters;
  let columns = select(params.inputs, 0u, params.weight_offset == ${nowhere}u);
  ${sums ? lines(Math.log2(subgroup), (bit) => `let lane_bit${1 << bit} = (lane & ${1 << bit}u) != 0u;`) : ""}
  // vectors beyond the row count as zero and are read from its end, so that subgroups stay whole
  let p0 = params.first + segment * ${vectors * lanes}u${sums ? " + lane" : ""};
  ${lines(
    vectors,
    (v) => `let at${v} = min(p0 + ${v * lanes}u, params.row_vectors - 1u);
  ${isQuad ? "" : `let live${v} = segment < params.segments && p0 + ${v * lanes}u < params.row_vectors;`}
  let value${v} = p0 + ${v * lanes}u < params.value_vectors;`,
  )}
  // In a loop of a length that no compiler knows, since adapters in software compile each load that stands here for a tenth of a
  // second. What is beyond the inputs stays zero.
  var held: array<vec4f, ${vectors * inputs}>;
  ${adds ? "for (var source = 0u; source < params.sources; source++) {\n  " : ""}let input_row = ${rowOf("input")};
  let cotangent_row = ${rowOf("cotangent")};
  for (var k = 0u; k < min(params.inputs - i0, ${inputs}u) * ${vectors}u; k++) {
    let row = (input_row + i0 + ${quotientOf("k", vectors, isQuad)}) * params.row_vectors;
    let p = p0 + ${restOf("k", vectors, isQuad)} * ${lanes}u;
    held[k] = ${given("inputs", "row + min(p, params.row_vectors - 1u)", "p < params.row_vectors", isQuad)};
  }
  ${lines(inputs, (i) => lines(vectors, (v) => `let h${i}_${v} = held[${i * vectors + v}];`))}
  for (var o = 0u; o < params.outputs; o++) {
    let row = (cotangent_row + o) * params.row_vectors;
    ${lines(vectors, (v) => `let c${v} = ${given("cotangents", `row + at${v}`, `live${v}`, !isQuad)};`)}
    ${lines(inputs, sum)}
    let place = base + params.weight_offset + o * params.row_length;
    ${stores.join("\n    ")}
    ${biasText}
  }
  ${adds ? "}" : ""}
}
`,
  });
});
