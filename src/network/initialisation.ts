import { normals, seedKey, streams } from "../random/philox.ts";
import type { Network } from "./network.ts";

/** Initial parameters of a network, flat in the order of its tensors. Parameter i depends on the seed and on i alone. */
export function initialParameters({ tensors, parameterCount }: Network, seed: number): Float32Array {
  const parameters = new Float32Array(parameterCount);
  const key = seedKey(seed);
  for (const { offset, size, initial } of tensors) {
    if ("value" in initial) {
      parameters.fill(initial.value, offset, offset + size);
      continue;
    }
    const draws = normals(key, streams.initialisation, offset, size, 1);
    for (let i = 0; i < size; i++) parameters[offset + i] = initial.deviation * (draws[i] as number);
  }
  return parameters;
}
