import type { FusedNetwork } from "../../shaders/fused-network.ts";
import type { PackedMatrix, Packing } from "../../shaders/packing.ts";
import { tilePacking } from "../../shaders/tile-packing.ts";
import { type Tiling, tileSizes } from "../../shaders/tiling.ts";
import { item, must } from "../must.ts";
import type { Network } from "../network/network.ts";
import { type Layout, zero } from "./parameters.ts";

/** Which parameter each number of a packing is. */
function layoutOf(name: string, network: Network, { matrices, vectors, floats }: Packing<PackedMatrix>): Layout {
  const source = new Uint32Array(floats).fill(zero);
  const tensorOf = (name: string) =>
    must(
      network.tensors.find((tensor) => tensor.name === name),
      `the tensor "${name}" of a network`,
    );
  for (const { tensor, from, inputs, width, bias, transposed, weightAt, biasAt } of matrices) {
    const { offset, shape } = tensorOf(tensor);
    const across = item(shape, 1);
    for (let row = 0; row < width; row++) {
      for (let k = 0; k < inputs; k++)
        source[weightAt(row, k)] = offset + from + (transposed ? k * across + row : row * across + k);
      if (bias !== undefined) source[biasAt(row)] = tensorOf(bias).offset + row;
    }
  }
  for (const [tensor, { at }] of vectors) {
    const { offset, size } = tensorOf(tensor);
    for (let i = 0; i < size; i++) source[at + i] = offset + i;
  }
  return { name, source };
}

/** What the fused kernels of a network read; see {@link FusedNetwork.packing}. */
export function fusedNetworkLayout(network: Network, fused: FusedNetwork, outputs: number): Layout {
  return layoutOf(`network ${outputs}`, network, fused.packing(outputs));
}

/** What tells the packings of a network for tiles. */
export function tileWeightsName(tiling: Tiling, atOneTime: boolean): string {
  const { blocks, unroll, outputs } = tileSizes(tiling);
  const half = tiling.matrices ? " matrices" : tiling.half ? " f16" : "";
  return `tile weights ${outputs} ${blocks} ${unroll} ${atOneTime ? "at one time" : "at any time"}${half}`;
}

/** What the forward and reverse of a network on a tile read. */
export const reverseLayout = (network: Network, packing: Packing<PackedMatrix>): Layout =>
  layoutOf("tile weights of both directions", network, packing);

/** What a tile reads; see {@link tilePacking}. */
export function tileLayout(network: Network, fused: FusedNetwork, tiling: Tiling, atOneTime: boolean): Layout {
  const layout = layoutOf(tileWeightsName(tiling, atOneTime), network, tilePacking(fused, tiling, atOneTime));
  return tiling.half ? { ...layout, half: true } : layout;
}
