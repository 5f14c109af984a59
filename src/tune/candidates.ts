import type { DivergenceText } from "../../shaders/field.ts";
import { type NarrowMlp, packedSizes } from "../../shaders/narrow-sizes.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";

/** What of a device decides which tilings it can run. */
interface TilingLimits {
  readonly maxUniformBufferBindingSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

/** Accumulators of an invocation, in numbers: more of them spill. */
const mostAccumulators = 16;

type Shape = Pick<Tiling, "lanes" | "groups" | "outputs" | "keep">;

const shape = (lanes: 1 | 2 | 4, groups: 1 | 2, outputs: 2 | 4, keep: Tiling["keep"]): Shape => ({
  lanes,
  groups,
  outputs,
  keep,
});

/**
 * Tilings of a narrow mlp worth timing on an adapter in software: the fixed choice first, then others by the length of their text, which
 * is what compilers are slow at. All of them sum in the same order. Those of GPUs are in src/kernels/tile.ts.
 */
export function candidateTilings(
  info: GpuInfo,
  limits: TilingLimits,
  mlp: NarrowMlp,
  divergence: DivergenceText,
  fixed: Tiling,
): Tiling[] {
  const tangents = divergence.mode === "exact" || divergence.mode === "probes" ? divergence.perPass : 0;
  const sets = 1 + tangents;
  const spaceOf = (outputs: number) =>
    packedSizes(mlp, outputs).total * 16 <= limits.maxUniformBufferBindingSize ? "uniform" : "storage";
  const gatherOf = (outputs: number, workgroupSize: number) => {
    const subgroup = info.subgroupSize;
    const isWhole = (packedSizes(mlp, outputs).block - 1) % subgroup === 0 && workgroupSize % subgroup === 0;
    return subgroup > 1 && isWhole ? subgroup : 0;
  };
  const direct = (base: Shape, workgroupSize: number, gather: number): Tiling => ({
    ...base,
    gather,
    space: spaceOf(base.outputs),
    workgroupSize,
  });

  const found: Tiling[] = [fixed];
  const add = (tiling: Tiling) => {
    const { lanes, groups, outputs, workgroupSize } = tiling;
    if (lanes * groups * outputs * sets > mostAccumulators) return;
    if (workgroupSize > limits.maxComputeInvocationsPerWorkgroup) return;
    if (!found.some((other) => sameTiling(other, tiling))) found.push(tiling);
  };

  const shapes = [
    shape(4, 1, 2, "array"),
    shape(4, 1, 2, "rotate"),
    shape(2, 1, 2, "array"),
    shape(2, 1, 2, "rotate"),
    shape(2, 1, 4, "rotate"),
    shape(2, 1, 4, "array"),
    shape(4, 2, 2, "array"),
    shape(4, 1, 4, "array"),
    shape(4, 1, 4, "rotate"),
  ];
  for (const base of shapes) add(direct(base, 32, gatherOf(base.outputs, 32)));
  return found;
}

/** Whether two tilings give the same kernel. */
export function sameTiling(a: Tiling, b: Tiling): boolean {
  const keys = [
    "lanes",
    "groups",
    "outputs",
    "gather",
    "space",
    "keep",
    "workgroupSize",
    "tile",
    "unroll",
    "wave",
  ] as const;
  return keys.every((key) => a[key] === b[key]);
}
