import { type WeightPlaces, weightNames } from "../kernels/weights.ts";
import { item } from "../must.ts";
import type { Network, ParameterTensor } from "../network/network.ts";
import { type Layout, zero } from "./parameters.ts";

const quads = (n: number) => Math.ceil(n / 4);

/** Sizes of one direction's packing: [in][out padded to 4], or transposed [out][in padded to 4]; vectors have a row of their own. */
function packing(tensors: readonly ParameterTensor[], transposed: boolean) {
  const places = new Map<string, { readonly at: number; readonly rows: number; readonly rowVectors: number }>();
  let at = 0;
  for (const { name, shape } of tensors) {
    const [first, second] = [item(shape, 0), shape[1]];
    if (second === undefined && transposed) continue;
    const rows = second === undefined ? 1 : transposed ? first : second;
    const rowVectors = quads(second === undefined || !transposed ? first : second);
    places.set(name, { at, rows, rowVectors });
    at += rows * rowVectors;
  }
  return { places, vectors: Math.max(1, at) };
}

/** Bytes of the largest packing of a network's parameters. */
export function packedBytes({ tensors }: Pick<Network, "tensors">): number {
  return 16 * Math.max(packing(tensors, false).vectors, packing(tensors, true).vectors);
}

/** Where the dense kernels find the parameters of a network. */
export function weightPlaces({ tensors }: Network): WeightPlaces {
  const forward = packing(tensors, false).places;
  const backward = packing(tensors, true).places;
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
    bias: (tensor) => found(forward, tensor).at,
    offset: (tensor) => found(offsets, tensor),
  };
}

/** The packing of one direction. */
export function denseLayout({ tensors }: Network, direction: "forward" | "backward"): Layout {
  const transposed = direction === "backward";
  const { places, vectors } = packing(tensors, transposed);
  const source = new Uint32Array(4 * vectors).fill(zero);
  for (const { name, shape, offset } of tensors) {
    const place = places.get(name);
    if (!place) continue;
    // a vector has one column
    const [outputs, inputs] = [item(shape, 0), shape[1] ?? 1];
    for (let row = 0; row < place.rows; row++) {
      const start = 4 * (place.at + row * place.rowVectors);
      const columns = transposed ? inputs : outputs;
      for (let column = 0; column < columns; column++)
        source[start + column] = offset + (transposed ? row * inputs + column : column * inputs + row);
    }
  }
  return { name: weightNames[direction], source };
}
