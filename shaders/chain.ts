import { heldText, heldWorkgroup } from "./held-dense.ts";
import { read, uniform, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { type Finish, finishShape, finishText } from "./optional-stores.ts";
import { accessNumbers, type ClusterNames, type ClusterShape, clusterFunctions, clusterText } from "./rows.ts";
import { struct } from "./struct.ts";
import { weightWindow } from "./tiling.ts";
import { nowhere } from "./weight-gradient.ts";
import { wgsl } from "./wgsl.ts";

/** Links of a chain at most, and the places that a link has for what it reads and stores beside its inputs. */
export const chainRoom = { links: 16, leaves: 4, stores: 3 } as const;

const places = (count: number) => Array.from({ length: count }, () => ["u32", "u32"] as const);

/** Held inputs up to which those of a layer may come from elsewhere than "values". */
export const mostGiven = 16;

/** The numbers of a link, which are told in its table. */
const linkNumbers: Readonly<Record<string, "u32">> = {
  // 0: a layer; 1: functions of rows
  body: "u32",
  // whether a layer is of each tangent
  batched: "u32",
  inputs: "u32",
  outputs: "u32",
  // where inputs lie: in "values" (0), "given0" (1) or "given1" (2); their first row, and the rows of a tangent
  source: "u32",
  given: "u32",
  given_rows: "u32",
  // the first vector of the weights, those of a row, and the first vector of the bias
  weights: "u32",
  row_vectors: "u32",
  bias: "u32",
  // where the sums themselves go, if anywhere
  result: "u32",
  result_rows: "u32",
  // what a finish or functions of rows read and store
  ...accessNumbers(places(chainRoom.leaves), places(chainRoom.stores)),
};

/**
 * A link of a chain: a layer, whose sums go to what is made of them and to `result`, or functions of rows. Rows are those of the buffer
 * "values", unless the inputs come from elsewhere.
 */
export const chainLink = struct("ChainLink", {
  ...linkNumbers,
  // structs in a uniform array are of whole vectors
  ...Object.fromEntries(
    Array.from({ length: -Object.keys(linkNumbers).length & 3 }, (_, i) => [`end${i}`, "u32" as const]),
  ),
});

export interface ChainShape {
  readonly bias: boolean;
  readonly finish: Finish;
  /** Inputs that an invocation holds. */
  readonly inputs: number;
  /** Functions of rows, whose buffers are "values" all. */
  readonly rows: ClusterShape | undefined;
  readonly subgroup: number;
}

/** A link's numbers are in its table, and its rows in "values". */
const linkNames: ClusterNames = { number: (name) => `link.${name}`, buffer: () => "values" };

/**
 * Layers one after the other for the same particles, for adapters in software, on which each dispatch costs as much as a small layer
 * does: what a layer reads was written by the same invocation, so nothing has to be waited for. A layer is the text of heldDenseKernel
 * with the same bits. Loops that a link does not have make no turn: a branch would not be one on lavapipe. Layers with fewer held
 * inputs have chains of their own: a text for both takes as long to compile as two.
 */
export const chainKernel = oncePerShape(({ bias, finish, inputs, rows, subgroup }: ChainShape) => {
  const made = finishShape(finish);
  const isGiven = inputs <= mostGiven;
  return kernel({
    label: `chain of layers of ${inputs} held inputs`,
    entryPoint: "chain",
    enable: ["subgroups"],
    params: { first: "u32", stride: "u32", links: "u32", tangents: "u32" },
    buffers: {
      links: uniform(`array<ChainLink, ${chainRoom.links}>`),
      weights: uniform(`array<vec4f, ${weightWindow.vectors}>`),
      biases: bias && read("array<f32>"),
      values: write("array<vec4f>"),
      given0: isGiven && read("array<vec4f>"),
      given1: isGiven && read("array<vec4f>"),
      result: write("array<vec4f>"),
    },
    code: wgsl`${chainLink.text}
${clusterFunctions(rows ? [made, rows] : [made])}
fn given(source: u32, at: u32) -> vec4f {
  ${
    isGiven
      ? "return select(select(values[at], given0[at], source == 1u), given1[at], source == 2u);"
      : "return values[at];"
  }
}
fn finish(link: ChainLink, z: vec4f, row: u32, p: u32, s: u32) {
  ${finishText(finish, linkNames)}
  if (link.result != ${nowhere}u) { result[(link.result + row + s * link.result_rows) * params.stride + p] = z; }
}

@compute @workgroup_size(${heldWorkgroup({ subgroup })})
fn chain(@builtin(global_invocation_id) id: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let p = params.first + id.x;
  for (var n = 0u; n < params.links; n++) {
    let link = links[n];
    let layers = select(0u, 1u, link.body == 0u);
    let tangents = layers * select(1u, params.tangents, link.batched == 1u);
    for (var s = 0u; s < tangents; s++) {
      ${heldText({
        tile: { inputs, vectors: 1, subgroup, parts: 1 },
        inputs: "layers * link.inputs",
        outputs: "layers * link.outputs",
        weights: "link.weights",
        rowVectors: "link.row_vectors",
        given: (k) => `given(link.source, (link.given + s * link.given_rows + ${k}) * params.stride + p)`,
        first: bias ? "biases[4u * link.bias + row]" : "0.0",
        finish: (sum) => `finish(link, ${sum}, row, p, s);`,
      })}
    }
    ${
      rows
        ? wgsl`let rows = (1u - layers) * link.outputs;
    for (var row = 0u; row < rows; row++) {
      ${clusterText(rows, { loops: true, sum: () => "", names: linkNames })}
    }`
        : ""
    }
  }
}
`,
  });
});
