import { invalid } from "../errors.ts";
import { checkInteger, checkKeys, checkWord, show } from "../options.ts";
import { activate, concat, type FourierOptions, fourier, linear } from "./builder.ts";
import { buildOperations, checkSizes, compileNetwork, type Node } from "./network.ts";
import { type Activation, activations } from "./operations/activate.ts";
import type { Operation } from "./operations/rule.ts";

export interface MlpOptions {
  dim: number;
  hidden: number[];
  /** Default `"silu"`; `gelu` is the exact one (erf). */
  activation?: Activation;
  /** Default `"concat"`: one input t. `{ fourier: k }`: sin 2πjt, cos 2πjt for j = 1 … k. */
  time?: "concat" | { fourier: number };
  /** Fourier features of x, which join x as inputs; see {@link fourier}. Default: none. */
  features?: { fourier: FourierOptions };
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
  readonly features?: { readonly fourier: FourierOptions };
  readonly inputOrder: "x,t" | "t,x";
  readonly classes: number;
  readonly context: number;
}

const mostFourier = 64;

/**
 * A multilayer perceptron u_t(x): input [x, time, one-hot class, context], hidden layers with an activation, output [dim].
 *
 * @throws PushforwardError `invalid-argument` for sizes that are not positive integers, unknown names and unknown options.
 * @example
 * import { mlp } from "pushforward";
 * const velocity = mlp({ dim: 2, hidden: [64, 64, 64] });
 */
export function mlp(options: MlpOptions): MlpVelocity {
  checkKeys("mlp", options, ["dim", "hidden", "activation", "time", "features", "inputOrder", "classes", "context"]);
  const dim = checkInteger("mlp: dim", options.dim, 1, 1 << 16);
  const hidden = checkHidden("mlp", options.hidden);
  const activation = checkWord("mlp: activation", options.activation ?? "silu", activations);
  const time = checkTime("mlp", options.time ?? "concat");
  const { features } = options;
  checkFeatures("mlp", features);
  const inputOrder = checkWord("mlp: inputOrder", options.inputOrder ?? "x,t", ["x,t", "t,x"]);
  const { classes, context } = checkSizes("mlp", {
    dim,
    classes: options.classes ?? 0,
    context: options.context ?? 0,
  });
  const given: MlpVelocity = {
    kind: "mlp",
    dim,
    hidden,
    activation,
    time,
    ...(features && { features: { fourier: features.fourier } }),
    inputOrder,
    classes,
    context,
  };
  if (!features) return Object.freeze(given);
  // what has been checked is plain numbers, which can be copied
  compileNetwork("mlp", given, mlpOperations(given));
  return Object.freeze({ ...given, features: Object.freeze({ fourier: copied(features.fourier) }) });
}

/** Fourier options that nobody can change any more. */
function copied(options: FourierOptions): FourierOptions {
  if (!("frequencies" in options)) return Object.freeze({ ...options });
  return Object.freeze({ frequencies: options.frequencies.map((row) => [...row]) });
}

/** Checks the widths of hidden layers and copies them. */
export function checkHidden(what: string, hidden: readonly number[]): readonly number[] {
  if (!Array.isArray(hidden))
    throw invalid(`${what}: hidden is ${show(hidden)}, but it is an array of layer widths such as [64, 64, 64]`);
  return Object.freeze(hidden.map((width, i) => checkInteger(`${what}: hidden[${i}]`, width, 1, 1 << 14)));
}

/** Checks that the features of x are Fourier features, which are checked where they are made. */
export function checkFeatures(what: string, features: MlpOptions["features"]): void {
  if (features === undefined) return;
  checkKeys(`${what}: features`, features, ["fourier"]);
  if (typeof features.fourier !== "object" || features.fourier === null)
    throw invalid(
      `${what}: features.fourier is ${show(features.fourier)}, but it is { count, scale, seed } or { frequencies }`,
    );
}

/** Checks how the time goes into a network. */
export function checkTime(what: string, time: "concat" | { fourier: number }): MlpVelocity["time"] {
  if (typeof time === "object" && time !== null) {
    checkKeys(`${what}: time`, time, ["fourier"]);
    return Object.freeze({ fourier: checkInteger(`${what}: time.fourier`, time.fourier, 1, mostFourier) });
  }
  if (time === "concat") return time;
  throw invalid(`${what}: time is ${show(time)}, but it is "concat" or { fourier: k }`);
}

/** The inputs that hold the time: t, or sin 2πjt, cos 2πjt for j = 1 … k, pair by pair. */
export function timeFeatures(t: Node, time: MlpVelocity["time"]): Node {
  if (time === "concat") return t;
  return concat(...Array.from({ length: time.fourier }, (_, j) => fourier(t, { frequencies: [[j + 1]] })));
}

/** The operations of an MLP, under PyTorch's names for `nn.Sequential(Linear, activation, Linear, …)` called `net`. */
export function mlpOperations(velocity: MlpVelocity): readonly Operation[] {
  const { dim, hidden, activation, time, features, inputOrder, classes, context } = velocity;
  return buildOperations("mlp", velocity, ({ x, t, label, context: given }) => {
    const state = features ? [x, fourier(x, features.fourier)] : [x];
    const times = timeFeatures(t, time);
    const moving = inputOrder === "x,t" ? [...state, times] : [times, ...state];
    let h = concat(...moving, ...(classes > 0 ? [label] : []), ...(context > 0 ? [given] : []));
    for (const [l, width] of hidden.entries()) h = activate(linear(h, width, `net.${2 * l}`), activation);
    return linear(h, dim, `net.${2 * hidden.length}`);
  });
}
