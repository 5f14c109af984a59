import type { FusedNetwork } from "../../shaders/fused-network.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import { isLavapipe, subgroupForWeights } from "./tiling.ts";

/**
 * The tiling of fused kernels of any network on an adapter in software, with values in private arrays and weights gathered by the
 * subgroup: on SwiftShader eight particles an invocation, with many tangents or dimensions four; on lavapipe four, with tangents two,
 * which compile in 60 % of the time of four and run faster. lavapipe shares the text of products, which halves its compilation;
 * SwiftShader computes both sides of the branch between them, and runs faster without. It has one output at a time, for the reason that
 * chooseTiling has, and sums rows without a loop, since it looks up an array for each lane. GPUs have tiles instead (tile.ts).
 */
export function networkTiling(info: GpuInfo, maxUniformBytes: number, network: FusedNetwork, tangents: number): Tiling {
  const shape = isLavapipe(info)
    ? ({ lanes: tangents > 0 ? 2 : 4, groups: 1, outputs: 2, sharesProducts: true } as const)
    : ({ lanes: 4, groups: tangents <= 1 && network.dim <= 4 ? 2 : 1, outputs: 1, unrollsSums: true } as const);
  return {
    ...shape,
    gather: subgroupForWeights(info),
    keep: "array",
    space: network.packing(shape.outputs).floats * 4 <= maxUniformBytes ? "uniform" : "storage",
    workgroupSize: 32,
  };
}

/** The longest text, in characters, whose evaluation lavapipe compiles as soon as the kernels of a network's layers. */
const longestText = 30_000;

/** Whether a network runs in one kernel on an adapter: lavapipe compiles long texts for up to a minute, and so it does tables by class. */
export function suitsFused(info: GpuInfo, network: FusedNetwork, tiling: Tiling): boolean {
  if (!isLavapipe(info)) return true;
  return network.classes === 0 && network.text(tiling, undefined, true).length <= longestText;
}
