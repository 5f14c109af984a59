import { frozenCopy } from "../options/frozen.ts";
import { checked, type Schema, word } from "../options/schema.ts";
import { checkKeys } from "../options.ts";
import { activate, concat, type FourierOptions, fourier, linear } from "./builder.ts";
import { type CircularAxes, circularInput, stateInputs } from "./circle.ts";
import { activation, features, hidden, type TimeInput, time } from "./fields.ts";
import { buildOperations, compileNetwork, type Node, sizeFields } from "./network.ts";
import type { Activation } from "./operations/activate.ts";
import type { Operation } from "./operations/rule.ts";

export interface MlpOptions {
  dim: number;
  hidden: number[];
  /** Default `"silu"`; `gelu` is the exact one (erf). */
  activation?: Activation;
  /** Default `"concat"`: one input t. `{ fourier: k }`: sin 2πjt, cos 2πjt for j = 1 … k. */
  time?: "concat" | { fourier: number };
  /** Axes of x that are angles, as circular axes of a {@link Transform} are: they come in as {@link circle} has them. Default: none. */
  circular?: CircularAxes;
  /** Fourier features of x, which join x as inputs; see {@link fourier}. Default: none. */
  features?: { fourier: FourierOptions };
  /** Default `"x,t"`: order of the inputs; class and context inputs come last. */
  inputOrder?: "x,t" | "t,x";
  /** Class-conditional: a one-hot input; the null class is all zeros. */
  classes?: number;
  /** Number of real-valued context inputs. */
  context?: number;
  /** How the weights begin, where not as usual. */
  initial?: MlpInitial;
}

/**
 * How the layers of an MLP begin, each as in {@link LayerInitial}; `frequencies` of the first one are those of x. For fine structure
 * (Sitzmann et al. 2020; Rahimi & Recht 2007) begin with frequencies and `activation: "sin"`:
 *
 * @example
 * import { mlp } from "pushforward";
 * const initial = { first: { frequencies: [1, 30] as [number, number] }, hidden: 2, output: 0.1 };
 * const velocity = mlp({ dim: 2, hidden: [64, 64, 64], activation: "sin", initial });
 */
export interface MlpInitial {
  /** Of the first hidden layer. */
  first?: "default" | number | { frequencies: [low: number, high: number] };
  /** Of the other hidden layers: "default", or s for standard deviations s/√inputs. */
  hidden?: "default" | number;
  /** Of the output. `"default"` is 0.1: a new flow hardly moves. */
  output?: "default" | "zero" | number;
}

/** A velocity field u_t(x) given by a multilayer perceptron: pure data. Made by {@link mlp}. */
export interface MlpVelocity {
  readonly kind: "mlp";
  readonly dim: number;
  readonly hidden: readonly number[];
  readonly activation: Activation;
  readonly time: TimeInput;
  readonly circular?: CircularAxes;
  readonly features?: { readonly fourier: FourierOptions };
  readonly inputOrder: "x,t" | "t,x";
  readonly classes: number;
  readonly context: number;
  readonly initial?: MlpInitial;
}

const mlpFields = {
  ...sizeFields,
  hidden: { check: hidden, required: true },
  activation: activation("silu"),
  time: time("concat"),
  circular: { check: circularInput },
  features: { check: features },
  inputOrder: { check: word("x,t", "t,x"), fallback: "x,t" },
  initial: {
    // layers check their own parts
    check(name, value) {
      checkKeys(name, value as object, ["first", "hidden", "output"]);
      return value as MlpInitial;
    },
  },
} as const satisfies Schema<MlpOptions>;

/**
 * A multilayer perceptron u_t(x): input [x, time, one-hot class, context], hidden layers with an activation, output [dim].
 *
 * @throws PushforwardError `invalid-argument` for sizes that are not positive integers, unknown names and unknown options.
 * @example
 * import { mlp } from "pushforward";
 * const velocity = mlp({ dim: 2, hidden: [64, 64, 64] });
 */
export function mlp(options: MlpOptions): MlpVelocity {
  const own = checked("mlp", mlpFields, options);
  // in one order, whatever the order of the options
  const { dim, hidden, activation, time, circular, features, inputOrder, classes, context, initial } = own;
  const given = { kind: "mlp", dim, hidden, activation, time, inputOrder, classes, context } as const;
  if (!circular && !features && !initial) return Object.freeze(given);
  const more = { ...given, ...(circular && { circular }), ...(features && { features }), ...(initial && { initial }) };
  // what has been checked is plain data, which can be copied
  compileNetwork("mlp", more, mlpOperations(more));
  return frozenCopy(more);
}

/** The inputs that hold the time: t, or sin 2πjt, cos 2πjt for j = 1 … k, pair by pair. */
export function timeFeatures(t: Node, time: TimeInput): Node {
  if (time === "concat") return t;
  return concat(...Array.from({ length: time.fourier }, (_, j) => fourier(t, { frequencies: [[j + 1]] })));
}

/** The operations of an MLP, under PyTorch's names for `nn.Sequential(Linear, activation, Linear, …)` called `net`. */
export function mlpOperations(velocity: MlpVelocity): readonly Operation[] {
  const { dim, hidden, activation, time, circular, features, inputOrder, classes, context, initial = {} } = velocity;
  return buildOperations("mlp", velocity, ({ x, t, label, context: given }) => {
    const own = stateInputs(x, circular);
    const state = features ? [own, fourier(x, features.fourier)] : [own];
    const times = timeFeatures(t, time);
    const moving = inputOrder === "x,t" ? [...state, times] : [times, ...state];
    let h = concat(...moving, ...(classes > 0 ? [label] : []), ...(context > 0 ? [given] : []));
    const start = inputOrder === "x,t" ? 0 : times.width;
    const { first = "default", hidden: inner = "default", output = "default" } = initial;
    const begin = typeof first === "object" ? { ...first, of: [start, start + own.width] as const } : first;
    for (const [l, width] of hidden.entries())
      h = activate(linear(h, width, `net.${2 * l}`, { initial: l === 0 ? begin : inner }), activation);
    return linear(h, dim, `net.${2 * hidden.length}`, { initial: output });
  });
}
