import { inputColumns, layerSizes, type MlpVelocity, parameterTensors } from "./mlp.ts";
import { type Layout, zero } from "./parameters.ts";

/** Where one layer's weights stand in a packed buffer, in vec4s: rows of `rowVectors`, then the bias. */
export interface DenseLayer {
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: number;
  readonly rowVectors: number;
  readonly bias: number;
}

const quads = (n: number) => Math.ceil(n / 4);

/** The layers of the forward packing: [input][outputs padded to 4], inputs in our order x, time, class, context. */
export function forwardLayers(velocity: MlpVelocity): DenseLayer[] {
  return layers(velocity, (inputs, outputs) => ({ inputs, outputs }), true);
}

/** The layers of the reverse packing, which is Wᵀ: [output][inputs padded to 4]; what a layer takes in are its outputs. */
export function backwardLayers(velocity: MlpVelocity): DenseLayer[] {
  return layers(velocity, (inputs, outputs) => ({ inputs: outputs, outputs: inputs }), false);
}

function layers(
  velocity: MlpVelocity,
  direction: (inputs: number, outputs: number) => { inputs: number; outputs: number },
  withBias: boolean,
): DenseLayer[] {
  const sizes = layerSizes(velocity);
  let at = 0;
  return sizes.slice(1).map((size, layer) => {
    const { inputs, outputs } = direction(sizes[layer] ?? 0, size);
    const rowVectors = quads(outputs);
    const weights = at;
    const bias = weights + inputs * rowVectors;
    at = bias + (withBias ? rowVectors : 0);
    return { inputs, outputs, weights, rowVectors, bias };
  });
}

function layout(velocity: MlpVelocity, name: string, packed: readonly DenseLayer[], backward: boolean): Layout {
  const tensors = parameterTensors(velocity);
  const columns = inputColumns(velocity);
  const last = packed[packed.length - 1];
  const vectors = last ? last.bias + (backward ? 0 : last.rowVectors) : 0;
  const source = new Uint32Array(vectors * 4).fill(zero);
  for (const [layer, { inputs, outputs, weights, rowVectors, bias }] of packed.entries()) {
    const matrix = tensors[2 * layer];
    const offset = tensors[2 * layer + 1]?.offset ?? 0;
    if (!matrix) continue;
    const width = matrix.shape[1] ?? 0;
    const column = (i: number) => (layer === 0 ? (columns[i] ?? 0) : i);
    for (let k = 0; k < inputs; k++) {
      for (let j = 0; j < outputs; j++) {
        const [row, input] = backward ? [k, j] : [j, k];
        source[(weights + k * rowVectors) * 4 + j] = matrix.offset + row * width + column(input);
      }
    }
    if (!backward) for (let j = 0; j < outputs; j++) source[bias * 4 + j] = offset + j;
  }
  return { name, source };
}

export function denseForwardLayout(velocity: MlpVelocity): Layout {
  return layout(velocity, "dense forward", forwardLayers(velocity), false);
}

export function denseBackwardLayout(velocity: MlpVelocity): Layout {
  return layout(velocity, "dense backward", backwardLayers(velocity), true);
}
