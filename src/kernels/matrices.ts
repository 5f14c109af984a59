import { matrixSize } from "../../shaders/tile-matrices.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** What an adapter says of the matrices that its subgroups multiply; no types of WebGPU have it yet. */
interface MatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** Whether a device's subgroups multiply matrices of f16 into sums in f32, of the size that kernels have. */
export function hasMatrices({ info, device }: Pick<Gpu, "info" | "device">): boolean {
  if (!info.features.includes("chromium-experimental-subgroup-matrix")) return false;
  const { subgroupMatrixConfigs = [] } = device.adapterInfo as { subgroupMatrixConfigs?: Iterable<MatrixConfig> };
  return [...subgroupMatrixConfigs].some(
    ({ M, N, K, componentType, resultComponentType }) =>
      [M, N, K].every((size) => size === matrixSize) && componentType === "f16" && resultComponentType === "f32",
  );
}
