import { normals, seedKey, streams, uniforms } from "../random/philox.ts";
import type { Network } from "./network.ts";
import type { Initial } from "./operations/rule.ts";

/** Initial parameters of a network, flat in the order of its tensors. Parameter i depends on the seed and on i alone. */
export function initialParameters({ tensors, parameterCount }: Network, seed: number): Float32Array {
  const parameters = new Float32Array(parameterCount);
  const key = seedKey(seed);
  for (const { offset, size, initial } of tensors) {
    if ("value" in initial) {
      parameters.fill(initial.value, offset, offset + size);
      continue;
    }
    const draw = "bound" in initial ? uniforms : normals;
    const draws = draw(key, streams.initialisation, offset, size, 1);
    if ("frequencies" in initial) setFrequencies(draws, initial);
    else
      for (let i = 0; i < size; i++) {
        const value = draws[i] as number;
        draws[i] = "bound" in initial ? initial.bound * (2 * value - 1) : initial.deviation * value;
      }
    parameters.set(draws, offset);
  }
  return parameters;
}

/** Scales rows of normal numbers: the columns of the frequencies to their length, the others to variance 2/inputs. */
function setFrequencies(rows: Float32Array, initial: Extract<Initial, { frequencies: unknown }>): void {
  const [low, high] = initial.frequencies;
  const [start, end] = initial.of;
  const [outputs, inputs] = initial.shape;
  for (let unit = 0; unit < outputs; unit++) {
    const row = rows.subarray(unit * inputs, (unit + 1) * inputs);
    const isOf = (i: number) => i >= start && i < end;
    const square = row.reduce((sum, value, i) => (isOf(i) ? sum + value * value : sum), 0);
    const frequency = low * (high / low) ** ((unit + 0.5) / outputs);
    for (const [i, value] of row.entries())
      row[i] = value * Math.sqrt(isOf(i) ? frequency ** 2 / (square || 1) : 2 / inputs);
  }
}
