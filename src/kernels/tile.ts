import type { DivergenceText } from "../../shaders/field.ts";
import type { FusedNetwork } from "../../shaders/fused-network.ts";
import { tileOf } from "../../shaders/tile.ts";
import { matrixSize } from "../../shaders/tile-matrices.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import { halfRun } from "../../shaders/tiling.ts";
import type { Wave } from "./waves.ts";

/** What of a device decides which tiles it can run. */
export interface TileLimits {
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

/** Numbers that an invocation sums at a time: with more of them fewer waves share a processor. */
const mostSums = 32;

/**
 * The tiles on which a GPU can run a network in one kernel, the one to begin with first; none where its values do not fit the workgroup
 * memory. `shared` are columns that share their weights. Sizes from the compiler of AMD GPUs (docs/gpu-report.md): an invocation of a
 * subgroup that shares its weights takes 2 particles × 8 outputs (16 in layers wider than 64), with tangents one particle where memory
 * or sums ask for it; without subgroups 4 × 8. All of them read the same packing, and sum in the same order.
 */
export function tileTilings(
  shared: Wave | undefined,
  limits: TileLimits,
  network: FusedNetwork,
  atOneTime: boolean,
  divergence: DivergenceText,
  { half = false, matrices = false }: { readonly half?: boolean; readonly matrices?: boolean } = {},
): Tiling[] {
  const tangents = "perPass" in divergence ? divergence.perPass : 0;
  const products = network.program(atOneTime).steps.filter((step) => step.kind === "linear");
  const widest = Math.max(1, ...products.map(({ width }) => width));
  const outputs = matrices ? matrixSize : widest <= 32 ? 4 : widest <= 64 ? 8 : 16;
  const blocks = Math.ceil(widest / outputs);
  const unroll = half ? halfRun : outputs * (1 + tangents) > 16 ? 2 : 4;
  const found: Tiling[] = [];
  // of the first candidate: the others take as much, and of matrices there is one
  let tile: ReturnType<typeof tileOf> | undefined;
  // a subgroup has sixteen outputs of all particles
  if (matrices && shared?.columns !== 32) return [];
  const columnsOf: { columns: number; wave?: Wave["wave"] }[] = [
    ...(shared ? [shared] : []),
    ...(matrices ? [] : [{ columns: 16 }, { columns: 8 }]),
  ];
  for (const { columns, wave } of columnsOf)
    for (const lanes of [4, 2, 1] as const) {
      // vectors of four are for tiles that read weights by the invocation
      if (lanes === 4 && wave !== undefined) continue;
      if (lanes > 1 && (matrices || lanes * outputs * (1 + tangents) > mostSums)) continue;
      const tiling: Tiling = {
        lanes,
        groups: 1,
        outputs,
        gather: 0,
        keep: "array",
        space: "storage",
        workgroupSize: columns * blocks,
        tile: columns * lanes,
        unroll,
        ...(wave !== undefined && { wave }),
        ...(half && { half }),
        ...(matrices && { matrices }),
      };
      if (tiling.workgroupSize > limits.maxComputeInvocationsPerWorkgroup) continue;
      tile ??= tileOf(network, tiling, atOneTime, divergence);
      if (matrices && !tile.suitsMatrices) continue;
      if (lanes * columns * tile.bytes <= limits.maxComputeWorkgroupStorageSize) found.push(tiling);
    }
  return found;
}
