import { type GradientNetwork, gradientSizes } from "../../shaders/narrow-gradient.ts";
import { item } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { narrowLimits } from "./narrow-layout.ts";
import { type Layout, zero } from "./parameters.ts";
import { inputColumns, layerSizes } from "./plain-mlp.ts";

/** Most input rows (x, time, classes, context) of a network whose gradient is one kernel. */
const mostInputs = 32;

/** The shape under which the fused gradient kernel sees this network, or undefined when it must go layer by layer. */
export function gradientNetwork(velocity: MlpVelocity): GradientNetwork | undefined {
  const widest = Math.max(0, ...velocity.hidden);
  const inputs = item(layerSizes(velocity), 0);
  if (widest === 0 || widest > narrowLimits.width || velocity.dim > narrowLimits.dim || inputs > mostInputs) return;
  return {
    inputs,
    dim: velocity.dim,
    layers: velocity.hidden.length,
    width: Math.ceil(widest / 16) * 16,
    activation: velocity.activation,
  };
}

/** Where each parameter stands in the packings that the fused gradient kernel reads: forward, and transposed for the way back. */
export function gradientLayouts(
  velocity: MlpVelocity,
  network: GradientNetwork,
  outputs: number,
): { forward: Layout; reverse: Layout } {
  const sizes = gradientSizes(network, outputs);
  const { inputs, dim, layers, width } = network;
  const tensors = networkOf(velocity).tensors;
  const columns = inputColumns(velocity);
  const parameter = (tensor: number, row: number, column: number): number => {
    const { offset, shape } = item(tensors, tensor);
    // a bias has one column
    const [rows, across] = [item(shape, 0), shape[1] ?? 1];
    return row < rows && column < across ? offset + row * across + column : zero;
  };
  const forward = new Uint32Array(sizes.forward * 4).fill(zero);
  const reverse = new Uint32Array(sizes.reverse * 4).fill(zero);
  /** Fills blocks of `outputs` units: entry i of unit u is `source(u, i)`; returns where the next block starts. */
  const fill = (
    target: Uint32Array,
    start: number,
    blocks: number,
    entries: number,
    vectors: number,
    source: (unit: number, i: number) => number,
  ) => {
    for (let block = 0; block < blocks; block++)
      for (let r = 0; r < outputs; r++)
        for (let i = 0; i < entries; i++)
          target[start + block * vectors * 4 + i * outputs + r] = source(block * outputs + r, i);
    return start + blocks * vectors * 4;
  };

  let at = fill(forward, 0, sizes.blocks, 1 + inputs, sizes.first, (unit, i) =>
    i === 0 ? parameter(1, unit, 0) : parameter(0, unit, item(columns, i - 1)),
  );
  for (let layer = 1; layer <= layers; layer++) {
    const blocks = layer < layers ? sizes.blocks : sizes.ends;
    const start = at;
    at = fill(forward, at, blocks, width, sizes.inner + 1, (unit, k) => parameter(2 * layer, unit, k));
    for (let block = 0; block < blocks; block++)
      for (let r = 0; r < outputs; r++)
        forward[start + (block * (sizes.inner + 1) + sizes.inner) * 4 + r] = parameter(
          2 * layer + 1,
          block * outputs + r,
          0,
        );
  }

  at = fill(reverse, 0, sizes.blocks, dim, sizes.top, (unit, i) => parameter(2 * layers, i, unit));
  for (let layer = layers - 1; layer >= 1; layer--)
    at = fill(reverse, at, sizes.blocks, width, sizes.inner, (unit, k) => parameter(2 * layer, k, unit));
  fill(reverse, at, sizes.ends, width, sizes.inner, (unit, k) =>
    unit < dim ? parameter(0, k, item(columns, unit)) : zero,
  );
  return {
    forward: { name: `gradient forward ${outputs}`, source: forward },
    reverse: { name: `gradient reverse ${outputs}`, source: reverse },
  };
}
