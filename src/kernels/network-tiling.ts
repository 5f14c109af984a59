import type { FusedNetwork } from "../../shaders/fused-network.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import { subgroupForWeights } from "./tiling.ts";

/**
 * The tiling of fused kernels of any network on SwiftShader, with values in private arrays: eight particles an invocation, with many
 * tangents or dimensions four, and weights gathered by the subgroup. GPUs have tiles instead (tile.ts).
 */
export function networkTiling(info: GpuInfo, maxUniformBytes: number, network: FusedNetwork, tangents: number): Tiling {
  const outputs = 2;
  return {
    lanes: 4,
    groups: tangents <= 1 && network.dim <= 4 ? 2 : 1,
    outputs,
    gather: subgroupForWeights(info),
    keep: "array",
    space: network.packing(outputs).floats * 4 <= maxUniformBytes ? "uniform" : "storage",
    workgroupSize: 32,
  };
}
