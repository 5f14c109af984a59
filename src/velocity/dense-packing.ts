import { weightWindow } from "../../shaders/tiling.ts";
import { item } from "../must.ts";
import type { Network, ParameterTensor } from "../network/network.ts";

const quads = (n: number) => Math.ceil(n / 4);

/** Sizes of one direction's packing: [in][out padded to 4], or transposed [out][in padded to 4]; in both vectors have a row of their own, and matrices begin where a window of a kernel may. */
export function densePacking(tensors: readonly ParameterTensor[], transposed: boolean) {
  const places = new Map<string, { readonly at: number; readonly rows: number; readonly rowVectors: number }>();
  let at = 0;
  for (const { name, shape } of tensors) {
    const [first, second] = [item(shape, 0), shape[1]];
    const rows = second === undefined ? 1 : transposed ? first : second;
    const rowVectors = quads(second === undefined || !transposed ? first : second);
    if (second !== undefined) at = weightWindow.step * Math.ceil(at / weightWindow.step);
    places.set(name, { at, rows, rowVectors });
    at += rows * rowVectors;
  }
  return { places, vectors: Math.max(1, at) };
}

/** Bytes of the largest packing of a network's parameters. */
export function packedBytes({ tensors }: Pick<Network, "tensors">): number {
  return 16 * Math.max(densePacking(tensors, false).vectors, densePacking(tensors, true).vectors);
}
