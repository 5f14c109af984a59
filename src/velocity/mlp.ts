import { invalid } from "../errors.ts";
import { checkInteger, checkKeys, checkWord, show } from "../options.ts";

export const activations = ["silu", "tanh", "softplus", "gelu", "elu", "relu", "sin"] as const;
export type Activation = (typeof activations)[number];

export interface MlpOptions {
  dim: number;
  hidden: number[];
  /** Default `"silu"`; `gelu` is the exact one (erf). */
  activation?: Activation;
  /** Default `"concat"`: one input t. `{ fourier: k }`: sin 2πjt, cos 2πjt for j = 1 … k. */
  time?: "concat" | { fourier: number };
  /** Default `"x,t"`: order of the inputs; class and context inputs come last. */
  inputOrder?: "x,t" | "t,x";
  /** Class-conditional: a one-hot input; the null class is all zeros. */
  classes?: number;
  /** Number of real-valued context inputs. */
  context?: number;
}

/** A velocity field u_t(x) given by a multilayer perceptron: pure data. Made by {@link mlp}. */
export interface MlpVelocity {
  readonly kind: "mlp";
  readonly dim: number;
  readonly hidden: readonly number[];
  readonly activation: Activation;
  readonly time: "concat" | { readonly fourier: number };
  readonly inputOrder: "x,t" | "t,x";
  readonly classes: number;
  readonly context: number;
}

/**
 * A multilayer perceptron u_t(x): input [x, time, one-hot class, context], hidden layers with an activation, output [dim].
 *
 * @throws PushforwardError `invalid-argument` for sizes that are not positive integers, unknown names and unknown options.
 * @example
 * import { mlp } from "pushforward";
 * const velocity = mlp({ dim: 2, hidden: [64, 64, 64] });
 */
export function mlp(options: MlpOptions): MlpVelocity {
  checkKeys("mlp", options, ["dim", "hidden", "activation", "time", "inputOrder", "classes", "context"]);
  const dim = checkInteger("mlp: dim", options.dim, 1, 1 << 16);
  if (!Array.isArray(options.hidden)) {
    throw invalid(`mlp: hidden is ${show(options.hidden)}, but it is an array of layer widths such as [64, 64, 64]`);
  }
  const hidden = options.hidden.map((width, i) => checkInteger(`mlp: hidden[${i}]`, width, 1, 1 << 14));
  const activation = checkWord("mlp: activation", options.activation ?? "silu", activations);
  const time = options.time ?? "concat";
  if (typeof time === "object" && time !== null) {
    checkKeys("mlp: time", time, ["fourier"]);
    checkInteger("mlp: time.fourier", time.fourier, 1, 64);
  } else if (time !== "concat") {
    throw invalid(`mlp: time is ${show(time)}, but it is "concat" or { fourier: k }`);
  }
  return Object.freeze({
    kind: "mlp",
    dim,
    hidden: Object.freeze(hidden),
    activation,
    time: typeof time === "object" ? Object.freeze({ fourier: time.fourier }) : time,
    inputOrder: checkWord("mlp: inputOrder", options.inputOrder ?? "x,t", ["x,t", "t,x"]),
    classes: checkInteger("mlp: classes", options.classes ?? 0, 0, 1 << 16),
    context: checkInteger("mlp: context", options.context ?? 0, 0, 1 << 16),
  });
}

/** Number of inputs that hold the time: 1, or 2k for Fourier features. */
export function timeInputs(velocity: MlpVelocity): number {
  return velocity.time === "concat" ? 1 : 2 * velocity.time.fourier;
}

/** Number of inputs that stay constant along a trajectory: one-hot class and context. */
export function conditionInputs(velocity: MlpVelocity): number {
  return velocity.classes + velocity.context;
}

/** Widths from the input layer to the output layer. */
export function layerSizes(velocity: MlpVelocity): number[] {
  return [velocity.dim + timeInputs(velocity) + conditionInputs(velocity), ...velocity.hidden, velocity.dim];
}

/** Column of W_1 that multiplies each of our inputs, whose own order is always [x, time, class, context]. */
export function inputColumns(velocity: MlpVelocity): number[] {
  const { dim } = velocity;
  const time = timeInputs(velocity);
  const inputs = dim + time + conditionInputs(velocity);
  return Array.from({ length: inputs }, (_, i) => {
    if (velocity.inputOrder === "x,t" || i >= dim + time) return i;
    return i < dim ? i + time : i - dim;
  });
}

/** One weight matrix `[out, in]` or bias `[out]`, and where it starts in the flat array of all parameters. */
export interface ParameterTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** All tensors in order, under PyTorch's names for `nn.Sequential(Linear, activation, Linear, …)` called `net`. */
export function parameterTensors(velocity: MlpVelocity): ParameterTensor[] {
  const sizes = layerSizes(velocity);
  const tensors: ParameterTensor[] = [];
  let offset = 0;
  for (let layer = 0; layer + 1 < sizes.length; layer++) {
    const inputs = sizes[layer] ?? 0;
    const outputs = sizes[layer + 1] ?? 0;
    tensors.push({ name: `net.${2 * layer}.weight`, shape: [outputs, inputs], offset, size: outputs * inputs });
    offset += outputs * inputs;
    tensors.push({ name: `net.${2 * layer}.bias`, shape: [outputs], offset, size: outputs });
    offset += outputs;
  }
  return tensors;
}

export function parameterCount(velocity: MlpVelocity): number {
  return parameterTensors(velocity).reduce((sum, tensor) => sum + tensor.size, 0);
}

/** F = Σ s_{l−1}·s_l: multiply-adds of one velocity evaluation, hence 2F floating-point operations. */
export function multiplyAdds(velocity: MlpVelocity): number {
  const sizes = layerSizes(velocity);
  let sum = 0;
  for (let layer = 0; layer + 1 < sizes.length; layer++) sum += (sizes[layer] ?? 0) * (sizes[layer + 1] ?? 0);
  return sum;
}
