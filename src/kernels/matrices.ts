import { matrixSize } from "../../shaders/tile-matrices.ts";
import type { GpuInfo } from "../gpu/adapter.ts";

/** Whether a device's subgroups multiply matrices of f16 into sums in f32, of the size that kernels have. */
export function hasMatrices({ info }: { readonly info: GpuInfo }): boolean {
  if (!info.features.includes("chromium-experimental-subgroup-matrix")) return false;
  return (info.subgroupMatrixConfigs ?? []).some(
    ({ M, N, K, componentType, resultComponentType }) =>
      [M, N, K].every((size) => size === matrixSize) && componentType === "f16" && resultComponentType === "f32",
  );
}
