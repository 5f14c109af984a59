import type { Network } from "../contender.ts";

/** One layer as libraries of arrays like it: rows of activations times `weight` `[inputs, outputs]`, plus `bias` `[outputs]`. */
export interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * A network whose first layer is split into the state's part and the time's: W [x, t] + b = W_x x + (t w_t + b). All particles
 * share one time, so its part is a vector of the width; nobody has to join a column of times to the state at each evaluation.
 */
export interface SplitLayers {
  /** The first of them has the state alone as its input. */
  readonly layers: readonly Layer[];
  /** w_t `[outputs of the first layer]`. */
  readonly timeWeight: Float32Array;
}

function tensor(network: Network, name: string, size: number): Float32Array {
  const values = network.weights[name];
  if (values?.length !== size) throw new Error(`${name} has ${values?.length} values, but the layer needs ${size}`);
  return values;
}

/** Widths from the input layer `[x, t]` to the output layer. */
export function layerSizes(network: Network): number[] {
  return [network.dim + 1, ...network.hidden, network.dim];
}

/** The layers with PyTorch's weights `[out, in]` transposed, the time's column taken apart. */
export function splitLayers(network: Network): SplitLayers {
  const { dim } = network;
  const sizes = layerSizes(network);
  let timeWeight = new Float32Array();
  const layers = sizes.slice(1).map((outputs, l): Layer => {
    const columns = sizes[l] ?? 0;
    const source = tensor(network, `net.${2 * l}.weight`, outputs * columns);
    const inputs = l === 0 ? dim : columns;
    const weight = new Float32Array(inputs * outputs);
    for (let i = 0; i < inputs; i++)
      for (let j = 0; j < outputs; j++) weight[i * outputs + j] = source[j * columns + i] ?? 0;
    if (l === 0) timeWeight = Float32Array.from({ length: outputs }, (_, j) => source[j * columns + dim] ?? 0);
    return { inputs, outputs, weight, bias: tensor(network, `net.${2 * l}.bias`, outputs) };
  });
  return { layers, timeWeight };
}

/** The layers with the time as the last input of the first one, for batches in which every row has its own time. */
export function joinedLayers(network: Network): readonly Layer[] {
  const { layers, timeWeight } = splitLayers(network);
  return layers.map((layer, l) =>
    l === 0 ? { ...layer, inputs: layer.inputs + 1, weight: Float32Array.of(...layer.weight, ...timeWeight) } : layer,
  );
}
