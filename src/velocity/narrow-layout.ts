import { movingInputs, type NarrowMlp, packedSizes } from "../../shaders/narrow-sizes.ts";
import { item } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { type Layout, zero } from "./parameters.ts";
import { inputColumns, timeInputs } from "./plain-mlp.ts";

/** Widest hidden layer and largest dim whose trajectories run in one fused kernel. */
export const narrowLimits = { width: 128, dim: 16, fourier: 8 } as const;

/** The shape under which a fused kernel sees this network, or undefined when it must go layer by layer. */
export function narrowMlp(velocity: MlpVelocity): NarrowMlp | undefined {
  const widest = Math.max(0, ...velocity.hidden);
  const fourier = velocity.time === "concat" ? 0 : velocity.time.fourier;
  if (
    widest === 0 ||
    widest > narrowLimits.width ||
    velocity.dim > narrowLimits.dim ||
    fourier > narrowLimits.fourier
  ) {
    return undefined;
  }
  return {
    dim: velocity.dim,
    layers: velocity.hidden.length,
    width: Math.ceil(widest / 16) * 16,
    activation: velocity.activation,
    fourier,
    conditioned: velocity.classes + velocity.context > 0,
  };
}

/**
 * Where each parameter stands in the fused kernel's packed weights: blocks of `outputs` units,
 * in a block input after input, in an input the `outputs` units side by side; biases first (first layer) or last.
 */
export function narrowLayout(velocity: MlpVelocity, mlp: NarrowMlp, outputs: number, half = false): Layout {
  const sizes = packedSizes(mlp, outputs);
  const source = new Uint32Array(sizes.total * 4).fill(zero);
  const tensors = networkOf(velocity).tensors;
  const columns = inputColumns(velocity);
  const parameter = (tensor: number, row: number, column: number): number => {
    const { offset, shape } = item(tensors, tensor);
    // a bias has one column
    const [rows, width] = [item(shape, 0), shape[1] ?? 1];
    return row < rows && column < width ? offset + row * width + column : zero;
  };

  const moving = movingInputs(mlp);
  if (moving !== velocity.dim + timeInputs(velocity)) throw new Error("the narrow shape belongs to another network");
  for (let block = 0; block < sizes.blocks; block++) {
    const start = block * sizes.firstBlock * 4;
    for (let r = 0; r < outputs; r++) {
      const unit = block * outputs + r;
      source[start + r] = parameter(1, unit, 0);
      for (let i = 0; i < moving; i++) source[start + (1 + i) * outputs + r] = parameter(0, unit, item(columns, i));
    }
  }

  let start = sizes.blocks * sizes.firstBlock * 4;
  for (let layer = 1; layer <= mlp.layers; layer++) {
    const blocks = layer < mlp.layers ? sizes.blocks : sizes.lastBlocks;
    for (let block = 0; block < blocks; block++, start += sizes.block * 4) {
      for (let r = 0; r < outputs; r++) {
        const unit = block * outputs + r;
        for (let k = 0; k < mlp.width; k++) source[start + k * outputs + r] = parameter(2 * layer, unit, k);
        source[start + (sizes.block - 1) * 4 + r] = parameter(2 * layer + 1, unit, 0);
      }
    }
  }
  return { name: `narrow ${outputs}${half ? " f16" : ""}`, source, ...(half && { half }) };
}
