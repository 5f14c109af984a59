import { denseParams } from "./dense.ts";
import { read, uniform } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { type Finish, finishShape, finishText } from "./optional-stores.ts";
import { type ClusterShape, clusterBuffers, clusterFunctions, clusterParams, clusterText } from "./rows.ts";
import { broadcastOf, components, weightWindow } from "./tiling.ts";
import { lines, ownParams, quotientOf, restOf, wgsl } from "./wgsl.ts";

/** Tile of {@link heldDenseKernel}. */
export interface HeldTile {
  /** Inputs that an invocation holds: a multiple of 4, those beyond the layer's are zero. */
  readonly inputs: number;
  /** Particle vectors that it holds them for. */
  readonly vectors: number;
  /** Size of the subgroups, which are the workgroups, and whose invocations fetch weights for each other; 0 without them. */
  readonly subgroup: number;
  /**
   * Arrays in which the inputs are held, of more than 32 each: what lavapipe's compiler takes for an array grows with the square of
   * its uses.
   */
  readonly parts: 1 | 2;
  /**
   * Whether the weights are a {@link weightWindow}, of which a lane loads without a loop over all lanes, which is what lavapipe makes of
   * storage. SwiftShader has it in storage, where there is room for one more buffer: it divides to find a place in a uniform array, and
   * to find the end of an array of unknown length.
   */
  readonly window: boolean;
}

/** Buffers in storage that every device lets a kernel have. */
const storageBuffers = 8;

export const heldWorkgroup = ({ subgroup }: Pick<HeldTile, "subgroup">) => subgroup || 8;

export interface HeldShape {
  readonly bias: boolean;
  /** What is made of each sum, and stored. */
  readonly cluster: ClusterShape | Finish;
  readonly tile: HeldTile;
}

/** What {@link heldText} is told of a layer, in WGSL. */
interface HeldText {
  readonly tile: Pick<HeldTile, "inputs" | "vectors" | "subgroup" | "parts">;
  readonly inputs: string;
  readonly outputs: string;
  /** The first vec4 of the weights, and those of a row. */
  readonly weights: string;
  readonly rowVectors: string;
  /** Input `k` of vector `v`. */
  given(k: string, v: string): string;
  /** What the sum of `row` begins with. */
  readonly first: string;
  /** A statement with the sum of `row`. */
  finish(sum: string, v: number): string;
}

/** The inputs of a layer in registers, and its outputs one after the other; `lane` is in scope. */
export function heldText({ tile, ...o }: HeldText): string {
  const { inputs, vectors, subgroup, parts } = tile;
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
  const isQuad = subgroup === 4;
  const quads = inputs / 4;
  const fetches = upTo(subgroup > 0 ? Math.ceil(quads / subgroup) : 0);
  const size = (inputs * vectors) / parts;
  const held = (at: number) => (parts === 1 ? `held[${at}]` : `held${Math.floor(at / size)}[${at % size}]`);
  const hold = (part: number) => {
    const name = parts === 1 ? "held" : `held${part}`;
    const first = part * size;
    const all = `${o.inputs} * ${vectors}u`;
    const end = part === parts - 1 ? all : `min(${all}, ${first + size}u)`;
    return wgsl`var ${name}: array<vec4f, ${size}>;
  for (var k = ${first}u; k < ${end}; k++) {
    ${name}[k${first > 0 ? ` - ${first}u` : ""}] = ${o.given(quotientOf("k", vectors, isQuad), restOf("k", vectors, isQuad))};
  }`;
  };
  const laneOf = (fetch: number) => `min(${fetch * subgroup}u + lane, ${o.rowVectors} - 1u)`;
  const weightOf = (quad: number) =>
    subgroup > 0
      ? `let w${quad} = ${broadcastOf(subgroup)}(fetched${Math.floor(quad / subgroup)}, ${quad % subgroup}u);`
      : `let w${quad} = weights[at + min(${quad}u, ${o.rowVectors} - 1u)];`;
  const addQuad = (quad: number) =>
    [
      weightOf(quad),
      ...upTo(vectors).flatMap((v) =>
        components.map((c, j) => `sum${v} = fma(h${4 * quad + j}_${v}, vec4f(w${quad}.${c}), sum${v});`),
      ),
    ].join("\n    ");
  /**
   * SwiftShader's compiler has a register for a sum that is added to again and again, and stores and loads sums that take turns: each of
   * a particle's gets the products of four quads at one go, which are so few that those of the next one overlap with them.
   */
  const addQuads = () =>
    [
      ...upTo(vectors).flatMap((v) => components.map((c) => `var sum${v}${c} = sum${v}.${c};`)),
      ...upTo(Math.ceil(quads / 4)).flatMap((part) => {
        const own = upTo(quads).slice(4 * part, 4 * part + 4);
        const products = (v: number, c: string) =>
          own.flatMap((quad) =>
            components.map((w, j) => `sum${v}${c} = fma(h${4 * quad + j}_${v}.${c}, w${quad}.${w}, sum${v}${c});`),
          );
        return [...own.map(weightOf), ...upTo(vectors).flatMap((v) => components.flatMap((c) => products(v, c)))];
      }),
      ...upTo(vectors).map((v) => `sum${v} = vec4f(${components.map((c) => `sum${v}${c}`).join(", ")});`),
    ].join("\n    ");
  return wgsl`// In a loop of a length that no compiler knows, since adapters in software compile each load that stands here for a tenth of a
  // second. What is beyond the inputs stays zero.
  ${lines(parts, hold)}
  ${lines(inputs, (k) => lines(vectors, (v) => `let h${k}_${v} = ${held(k * vectors + v)};`))}
  ${isQuad ? fetches.map((c) => `let lane${c} = ${laneOf(c)};`).join("\n  ") : ""}
  for (var row = 0u; row < ${o.outputs}; row++) {
    let at = ${o.weights} + row * ${o.rowVectors};
    ${fetches.map((c) => `let fetched${c} = weights[at + ${isQuad ? `lane${c}` : laneOf(c)}];`).join("\n    ")}
    ${isQuad ? `let first = vec4f(${o.first});` : ""}
    ${lines(vectors, (v) => `var sum${v} = ${isQuad ? "first" : `vec4f(${o.first})`};`)}
    ${isQuad ? addQuads() : upTo(quads).map(addQuad).join("\n    ")}
    ${lines(vectors, (v) => o.finish(`sum${v}`, v))}
  }`;
}

/**
 * One layer for all particles like denseKernel (dense.ts), for adapters in software and few inputs: an invocation holds all inputs of
 * its particles in registers and goes through the outputs, so that a particle's row is read once and each sum is made at one go.
 * Weights are packed [output][inputs padded to 4], which is the packing of the other direction: a fetch of the subgroup's brings
 * four weights a lane. Every sum begins with the bias and adds the inputs in their order, as in denseKernel. A dispatch is of whole
 * workgroups: a condition around what is made of a sum would cost lavapipe a third of the time.
 */
export const heldDenseKernel = oncePerShape(({ bias, cluster: made, tile }: HeldShape) => {
  const isOwn = typeof made === "object" && "stores" in made;
  const cluster = isOwn ? made : finishShape(made);
  const { inputs, vectors, subgroup, window } = tile;
  const ofWindow = window ? "biases[4u * params.bias + row]" : "weights[params.bias + row / 4u][row % 4u]";
  const isQuad = subgroup === 4;
  const isStored = isQuad && cluster.bindings.length + (bias ? 3 : 2) <= storageBuffers;
  return kernel({
    label: `dense layer of ${inputs} held inputs`,
    entryPoint: "dense",
    enable: subgroup > 0 ? ["subgroups"] : [],
    params: {
      ...denseParams,
      ...clusterParams(cluster),
    },
    buffers: {
      weights: window ? (isStored ? read : uniform)(`array<vec4f, ${weightWindow.vectors}>`) : read("array<vec4f>"),
      input: read("array<vec4f>"),
      biases: window && bias && read("array<f32>"),
      ...clusterBuffers(cluster),
    },
    code: wgsl`
${clusterFunctions([cluster])}
fn finish(${isQuad ? "params: Params, " : ""}z: vec4f, row: u32, p: u32, s: u32) {
  ${isOwn ? clusterText(made, { loops: false, sum: () => "z" }) : finishText(made)}
}

@compute @workgroup_size(${heldWorkgroup(tile)})
fn dense(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(workgroup_id) workgroup: vec3u,${subgroup > 0 ? "\n  @builtin(subgroup_invocation_id) lane: u32," : ""}
) {
  ${isQuad ? ownParams : ""}
  let tile = params.first + id.x * ${vectors}u;
${heldText({
  tile,
  inputs: "params.inputs",
  outputs: "params.outputs",
  weights: "params.weights",
  rowVectors: "params.row_vectors",
  given: (k, v) => `input[(params.given + workgroup.z * params.given_rows + ${k}) * params.stride + tile + ${v}]`,
  first: bias ? ofWindow : "0.0",
  finish: (sum, v) => `finish(${isQuad ? "params, " : ""}${sum}, row, tile + ${v}u, workgroup.z);`,
})}
}
`,
  });
});
