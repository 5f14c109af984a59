import * as tf from "@tensorflow/tfjs-core";
import type { Network } from "../contender.ts";
import { type Layer, splitLayers } from "./layers.ts";

/** A network's layers on the device; T is a tensor, or a variable that learns. */
export interface DeviceLayers<T extends tf.Tensor = tf.Tensor> {
  readonly weights: readonly T[];
  readonly biases: readonly T[];
}

export function uploadLayers(layers: readonly Layer[]): DeviceLayers {
  return {
    weights: layers.map(({ weight, inputs, outputs }) => tf.tensor2d(weight, [inputs, outputs])),
    biases: layers.map(({ bias }) => tf.tensor1d(bias)),
  };
}

export function allTensors<T extends tf.Tensor>({ weights, biases }: DeviceLayers<T>): T[] {
  return [...weights, ...biases];
}

/** silu is not among the activations that the library fuses into a product. */
const ownActivations = {
  silu: (x: tf.Tensor2D): tf.Tensor2D => tf.mul<tf.Tensor2D>(x, tf.sigmoid(x)),
  tanh: (x: tf.Tensor2D): tf.Tensor2D => tf.tanh(x),
  relu: (x: tf.Tensor2D): tf.Tensor2D => tf.relu(x),
};

/** The network for the rows of x; `firstBias` takes the place of the first layer's bias. */
export function forward(network: Network, layers: DeviceLayers, x: tf.Tensor2D, firstBias?: tf.Tensor): tf.Tensor2D {
  const last = layers.weights.length - 1;
  const fuses = network.activation === "relu";
  return layers.weights.reduce<tf.Tensor2D>((h, weight, l) => {
    const z = tf.fused.matMul({
      a: h,
      b: weight as tf.Tensor2D,
      bias: (l === 0 && firstBias) || (layers.biases[l] as tf.Tensor), // there are as many biases as weights
      activation: fuses && l < last ? "relu" : "linear",
    }) as tf.Tensor2D;
    return fuses || l === last ? z : ownActivations[network.activation](z);
  }, x);
}

/**
 * The same of plain operations. When gradients are taken for x alone, a fused product computes the weights' too; these do not.
 */
export function forwardForGradients(
  network: Network,
  layers: DeviceLayers,
  x: tf.Tensor2D,
  firstBias: tf.Tensor,
): tf.Tensor2D {
  const last = layers.weights.length - 1;
  return layers.weights.reduce<tf.Tensor2D>((h, weight, l) => {
    const bias = l === 0 ? firstBias : (layers.biases[l] as tf.Tensor); // there are as many biases as weights
    const z = tf.add(tf.matMul(h, weight), bias) as tf.Tensor2D;
    return l === last ? z : ownActivations[network.activation](z);
  }, x);
}

/** A network whose first bias holds the time's part, at the times that a run will need. */
export interface TimedNetwork {
  readonly layers: DeviceLayers;
  /** b_1 + t w_t for each of the times. */
  readonly firstBiases: readonly tf.Tensor[];
  dispose(): void;
}

export function uploadTimedNetwork(network: Network, times: readonly number[]): TimedNetwork {
  const split = splitLayers(network);
  const layers = uploadLayers(split.layers);
  const bias = split.layers[0]?.bias ?? new Float32Array();
  const firstBiases = times.map((t) => tf.tensor1d(bias.map((b, j) => b + t * (split.timeWeight[j] ?? 0))));
  return { layers, firstBiases, dispose: () => tf.dispose([...allTensors(layers), ...firstBiases]) };
}
