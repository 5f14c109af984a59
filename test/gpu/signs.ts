import { philox } from "../../src/random/philox.ts";

/** Signs ±1 of Rademacher probes, [count, dim], from draw `draw` of a stream on: bit j mod 32 of word ⌊j/32⌋, for up to 128 values. */
export function signsOf(
  key: readonly [number, number],
  stream: number,
  count: number,
  dim: number,
  draw: number,
): Float32Array {
  const words = new Uint32Array(4);
  return Float32Array.from({ length: count * dim }, (_, at) => {
    const j = at % dim;
    if (j === 0) philox((at / dim) >>> 0, 0, draw, stream, key, words);
    return ((words[j >> 5] ?? 0) >>> (j & 31)) & 1 ? 1 : -1;
  });
}
