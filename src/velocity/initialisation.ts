import { normals, seedKey, streams } from "../random/philox.ts";
import { type Activation, type MlpVelocity, parameterCount, parameterTensors } from "./mlp.ts";

/** Gain of the variance of a hidden layer's weights: He et al. 2015 (2) for rectifier-like activations, LeCun (1) for the rest. */
const gain: Record<Activation, number> = { relu: 2, silu: 2, gelu: 2, elu: 2, softplus: 2, tanh: 1, sin: 1 };

/** Standard deviation of the output layer relative to LeCun's: a new flow starts near the identity. */
const outputScale = 0.1;

/**
 * Initial parameters of a network, flat in the order of its tensors: weights normal with variance gain/fan-in, biases zero,
 * the output layer scaled down so that a new flow hardly moves. Parameter i depends on the seed and on i alone.
 */
export function initialParameters(velocity: MlpVelocity, seed: number): Float32Array {
  const parameters = new Float32Array(parameterCount(velocity));
  const tensors = parameterTensors(velocity);
  const key = seedKey(seed);
  for (const [index, { shape, offset, size }] of tensors.entries()) {
    const [, fanIn] = shape;
    if (fanIn === undefined) continue; // a bias
    const isOutput = index >= tensors.length - 2;
    const deviation = isOutput ? outputScale / Math.sqrt(fanIn) : Math.sqrt(gain[velocity.activation] / fanIn);
    const draws = normals(key, streams.initialisation, offset, size, 1);
    for (let i = 0; i < size; i++) parameters[offset + i] = deviation * (draws[i] as number);
  }
  return parameters;
}
