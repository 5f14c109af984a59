import type { FusedNetwork } from "../../shaders/fused-network.ts";
import { tilePacking } from "../../shaders/tile-packing.ts";
import { type Tiling, tileSizes } from "../../shaders/tiling.ts";
import { item } from "../must.ts";
import type { Network } from "../network/network.ts";
import { type Layout, zero } from "./parameters.ts";

const tensorsOf = (network: Network) => (name: string) => {
  const tensor = network.tensors.find((tensor) => tensor.name === name);
  if (!tensor) throw new Error(`the network has no tensor "${name}"`);
  return tensor;
};

/** Where each parameter stands in the packing that the fused kernels of a network read; see {@link FusedNetwork.packing}. */
export function fusedNetworkLayout(network: Network, fused: FusedNetwork, outputs: number): Layout {
  const { matrices, vectors, total } = fused.packing(outputs);
  const source = new Uint32Array(4 * total).fill(zero);
  const tensorOf = tensorsOf(network);
  for (const { at, block, blocks, tensor, from, inputs, width, bias } of matrices) {
    const { offset, shape } = tensorOf(tensor);
    const across = item(shape, 1);
    for (let jb = 0; jb < blocks; jb++) {
      const start = 4 * (at + jb * block);
      for (let r = 0; r < outputs; r++) {
        const row = jb * outputs + r;
        if (row >= width) continue;
        for (let k = 0; k < inputs; k++) source[start + k * outputs + r] = offset + row * across + from + k;
        if (bias !== undefined) source[start + 4 * (block - 1) + r] = tensorOf(bias).offset + row;
      }
    }
  }
  for (const [tensor, at] of vectors) {
    const { offset, size } = tensorOf(tensor);
    for (let i = 0; i < size; i++) source[4 * at + i] = offset + i;
  }
  return { name: `network ${outputs}`, source };
}

/** What tells the packings of a network for tiles. */
export function tileWeightsName(tiling: Tiling, atOneTime: boolean): string {
  const { blocks, unroll, outputs } = tileSizes(tiling);
  return `tile weights ${outputs} ${blocks} ${unroll} ${atOneTime ? "at one time" : "at any time"}`;
}

/** Where each parameter stands in the packing that a tile reads; see {@link tilePacking}. */
export function tileLayout(network: Network, fused: FusedNetwork, tiling: Tiling, atOneTime: boolean): Layout {
  const { matrices, vectors, floats } = tilePacking(fused, tiling, atOneTime);
  const source = new Uint32Array(floats).fill(zero);
  const tensorOf = tensorsOf(network);
  for (const { at, biasAt, rows, tensor, from, inputs, width, bias } of matrices) {
    const { offset, shape } = tensorOf(tensor);
    const across = item(shape, 1);
    const stride = rows === 0 ? width : rows * Math.ceil(width / rows);
    for (let row = 0; row < width; row++) {
      for (let k = 0; k < inputs; k++) source[at + k * stride + row] = offset + row * across + from + k;
      if (bias !== undefined) source[biasAt + row] = tensorOf(bias).offset + row;
    }
  }
  for (const [tensor, { at }] of vectors) {
    const { offset, size } = tensorOf(tensor);
    for (let i = 0; i < size; i++) source[at + i] = offset + i;
  }
  return { name: tileWeightsName(tiling, atOneTime), source };
}
