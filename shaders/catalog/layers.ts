import { activations } from "../../src/network/operations/activate.ts";
import { chainKernel } from "../chain.ts";
import { type DenseTile, denseKernel, plainTile, stagedTile } from "../dense.ts";
import { heldDenseKernel } from "../held-dense.ts";
import { packKernel } from "../pack.ts";
import { residentGradientKernel } from "../resident-gradient.ts";
import { weightGradientKernel } from "../weight-gradient.ts";
import { activated } from "./activated.ts";
import type { Add } from "./entry.ts";

const denseTiles: Record<string, DenseTile> = {
  plain: plainTile,
  gathered: { groups: 1, quads: 4, unroll: 2, workgroupSize: 16, gather: 4 },
  staged: stagedTile,
};

/** Orders of derivatives. */
const [value, valueAndSlope] = [[0], [0, 1]] as const;

/** Products of layers, and the gradients of their weights. */
export function layerKernels(add: Add): void {
  add("dense layer, optional bias", () =>
    denseKernel({ bias: "optional", cluster: activated("silu", value), tile: plainTile }),
  );
  for (const [how, tile] of Object.entries(denseTiles))
    for (const slope of [false, true])
      add(`dense layer${slope ? " with slope" : ""}, ${how}`, () =>
        denseKernel({ bias: true, cluster: activated("silu", slope ? valueAndSlope : value), tile }),
      );
  for (const [subgroup, vectors] of [
    [0, 1],
    [4, 2],
    [8, 1],
  ] as const)
    for (const inputs of [4, 32])
      add(`dense layer of ${inputs} held inputs, subgroups of ${subgroup}`, () =>
        heldDenseKernel({
          bias: true,
          cluster: activated("silu", valueAndSlope),
          tile: { inputs, vectors, subgroup, parts: 1, window: subgroup > 0 },
        }),
      );
  for (const [name, cluster] of Object.entries({
    "an activation": { activation: "silu" },
    products: "products",
  } as const))
    add(`dense layer of 96 held inputs in two parts, subgroups of 8, optional stores of ${name}`, () =>
      heldDenseKernel({ bias: true, cluster, tile: { inputs: 96, vectors: 1, subgroup: 8, parts: 2, window: true } }),
    );
  const access = { binding: 0, batched: true, single: false, parameter: false };
  const sumOfProducts = {
    bindings: [true],
    parameters: [],
    leaves: [access, { ...access, batched: false }],
    results: [
      { function: { name: "multiply" }, of: [{ leaf: 0 }, { leaf: 1 }], batched: true },
      { function: { name: "total" }, of: [{ result: 0 }], batched: false },
    ],
    stores: [{ ...access, batched: false, of: { result: 1 } }],
  } as const;
  for (const subgroup of [4, 8]) {
    add(`chain of layers with an activation, subgroups of ${subgroup}`, () =>
      chainKernel({ bias: true, finish: { activation: "silu" }, inputs: 4, rows: undefined, subgroup }),
    );
    add(`chain of layers with products and functions of rows, subgroups of ${subgroup}`, () =>
      chainKernel({ bias: false, finish: "products", inputs: 64, rows: sumOfProducts, subgroup }),
    );
  }
  for (const activation of activations)
    add(`dense layer with slope and curvature, ${activation}`, () =>
      denseKernel({ bias: true, cluster: activated(activation, [0, 1, 2]), tile: plainTile }),
    );
  for (const [outputs, inputs] of [
    [8, 8],
    [8, 1],
    [1, 5],
  ] as const)
    add(`weight gradient, ${outputs} × ${inputs} an invocation`, () => weightGradientKernel({ outputs, inputs }));
  for (const subgroup of [0, 4, 8]) {
    const vectors = subgroup > 0 ? 32 / subgroup : 8;
    for (const [how, tile] of Object.entries({
      "16 inputs": { inputs: 16, adds: false },
      "16 inputs, added": { inputs: 16, adds: true },
      ...(subgroup === 4 && {
        "48 inputs": { inputs: 48, adds: false },
        "48 inputs, added": { inputs: 48, adds: true },
      }),
      "few inputs": { inputs: Math.max(4, subgroup), adds: false },
    })) {
      add(`resident weight gradient, ${how}, subgroups of ${subgroup}`, () =>
        residentGradientKernel({ vectors, subgroup, ...tile }),
      );
    }
  }
  add("pack weights", () => packKernel({ half: false }));
  add("pack weights as f16", () => packKernel({ half: true }));
}
