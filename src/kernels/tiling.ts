import { blocksWindows, type NarrowMlp, packedSizes } from "../../shaders/narrow-sizes.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";

/**
 * The tiling of the fused kernels on an adapter, from measurements where there are any (npm run bench; src/tune finds others):
 * SwiftShader wants 16 particles, since to load a weight and to pass it on costs as much as four of its products, and one output with an
 * indexed array, since it reads each input from memory anyway and has registers for few sums; lavapipe 4 × 2 with rotated
 * registers, both with weights gathered by the subgroup; GPUs hold one particle per invocation, whose 4 × 4 independent chains hide the
 * latency. Tangents are further accumulators, so they halve the particles.
 */
export function chooseTiling(info: GpuInfo, maxUniformBytes: number, mlp: NarrowMlp, tangents: number): Tiling {
  const shape =
    softwareShape(info, mlp, tangents) ??
    ({ lanes: 1, groups: 1, outputs: 4, keep: "array", workgroupSize: 64 } as const);
  const { total, block } = packedSizes(mlp, shape.outputs);
  const subgroup = subgroupForWeights(info);
  const gather = subgroup > 1 && (block - 1) % subgroup === 0 && shape.workgroupSize % subgroup === 0 ? subgroup : 0;
  const inWindows = () => gather > 0 && shape.keep === "rotate" && blocksWindows(mlp, shape.outputs) !== undefined;
  return {
    ...shape,
    gather,
    space: total * 16 <= maxUniformBytes ? "uniform" : inWindows() ? "windows" : "storage",
  };
}

/** Subgroup size where lanes should fetch weights for each other: on software adapters, whose loads are slow; else 0. */
export function subgroupForWeights(info: Pick<GpuInfo, "software" | "subgroupSize">): number {
  return info.software && info.subgroupSize >= 4 && info.subgroupSize <= 8 ? info.subgroupSize : 0;
}

/** The same tiling in f16: its weights are read from storage, since a uniform array cannot have elements of eight bytes. */
export function halfTiling(tiling: Tiling): Tiling {
  return { ...tiling, space: "storage", half: true };
}

/**
 * The tiling for first calls, where there is another than the fixed one: with tangents lavapipe compiles a text in turns in a third to a
 * half of the time, which takes 1.4 times as long to run (other networks: 1.7; bench/README.md).
 */
export function quickTiling(info: GpuInfo, tiling: Tiling, tangents: number): Tiling | undefined {
  return tangents > 0 && isLavapipe(info) ? { ...tiling, turns: true } : undefined;
}

function softwareShape(info: GpuInfo, mlp: NarrowMlp, tangents: number) {
  if (!info.software) return undefined;
  if (isLavapipe(info)) {
    return {
      lanes: tangents > 0 ? 2 : 4,
      groups: 1,
      outputs: tangents > 0 ? 4 : 2,
      keep: "rotate",
      workgroupSize: 32,
    } as const;
  }
  const isSmall = mlp.dim <= 4;
  const groups = isSmall && tangents === 0 ? 4 : isSmall && tangents === 1 ? 2 : 1;
  return { lanes: 4, groups, outputs: 1, keep: "array", workgroupSize: groups === 4 ? 16 : 32 } as const;
}

/** Whether an adapter is Mesa's in software. */
export const isLavapipe = ({
  architecture,
  description,
  vendor,
}: Pick<GpuInfo, "architecture" | "description" | "vendor">) =>
  /llvmpipe|lavapipe/i.test(`${architecture} ${description} ${vendor}`);

/** Whether an adapter divides wherever it looks up the length of an array, and compiles a text so fast that it may have one for each length. */
export const hasSlowLengths = ({
  software,
  vendor,
  architecture,
  description,
}: Pick<GpuInfo, "software" | "architecture" | "description" | "vendor">) =>
  software && /swiftshader/i.test(`${vendor} ${architecture} ${description}`);

/** The user's WGSL takes one particle at a time. */
export const scalarTiling: Tiling = {
  lanes: 1,
  groups: 1,
  outputs: 4,
  gather: 0,
  space: "storage",
  keep: "array",
  workgroupSize: 64,
};
