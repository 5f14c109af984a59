import { type WeightPlaces, weightNames } from "../kernels/weights.ts";
import { item, must } from "../must.ts";
import type { Network } from "../network/network.ts";
import { densePacking } from "./dense-packing.ts";
import { type Layout, zero } from "./parameters.ts";

/** Where the dense kernels find the parameters of a network. */
export function weightPlaces({ tensors }: Network): WeightPlaces {
  const forward = densePacking(tensors, false).places;
  const backward = densePacking(tensors, true).places;
  const offsets = new Map(tensors.map(({ name, offset }) => [name, offset]));
  const found = <T>(map: ReadonlyMap<string, T>, tensor: string): T => {
    const place = map.get(tensor);
    if (place === undefined) throw new Error(`the network has no tensor "${tensor}"`);
    return place;
  };
  return {
    matrix(tensor, transposed) {
      const { at, rowVectors } = found(transposed ? backward : forward, tensor);
      return { weights: at, rowVectors };
    },
    bias: (tensor, transposed) => found(transposed ? backward : forward, tensor).at,
    offset: (tensor) => found(offsets, tensor),
  };
}

/** The packing of one direction. */
export function denseLayout({ tensors }: Network, direction: "forward" | "backward"): Layout {
  const transposed = direction === "backward";
  const { places, vectors } = densePacking(tensors, transposed);
  const source = new Uint32Array(4 * vectors).fill(zero);
  for (const { name, shape, offset } of tensors) {
    const place = must(places.get(name), `the place of "${name}"`);
    // a vector has one column
    const [outputs, inputs] = [item(shape, 0), shape[1] ?? 1];
    const byOutput = transposed && shape.length > 1;
    for (let row = 0; row < place.rows; row++) {
      const start = 4 * (place.at + row * place.rowVectors);
      const columns = byOutput ? inputs : outputs;
      for (let column = 0; column < columns; column++)
        source[start + column] = offset + (byOutput ? row * inputs + column : column * inputs + row);
    }
  }
  return { name: weightNames[direction], source };
}
