import { type ActivationFunction, type ActivationName, activationFunctions } from "./activations.ts";
import { addScaled, at, dot, unit, type Vector } from "./vectors.ts";

/** What a network looks like; the library's own spec fits. */
export interface MlpSpec {
  readonly dim: number;
  readonly hidden: readonly number[];
  readonly activation?: ActivationName;
  readonly time?: "concat" | { readonly fourier: number };
  readonly inputOrder?: "x,t" | "t,x";
  readonly classes?: number;
  readonly context?: number;
}

/** Tensors "net.0.weight" [out, in], "net.0.bias" [out], "net.2.weight", … */
export type Weights = Record<string, Vector>;
export type Gradients = Record<string, Float64Array>;

/** The label (none, or all ones, is the null class: a one-hot of zeros) and the real-valued context of one particle. */
export interface Condition {
  readonly label?: number | undefined;
  readonly context?: Vector | undefined;
}

interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

export interface Network {
  readonly spec: Required<MlpSpec>;
  readonly activation: ActivationFunction;
  readonly layers: readonly Layer[];
}

/** Widths from the input layer to the output layer. */
export function layerSizes(spec: MlpSpec): number[] {
  const { dim, hidden, time = "concat", classes = 0, context = 0 } = spec;
  const timeInputs = time === "concat" ? 1 : 2 * time.fourier;
  return [dim + timeInputs + classes + context, ...hidden, dim];
}

/** Joins a spec with its weights; layer l (from 0) has PyTorch's index 2l. */
export function network(spec: MlpSpec, weights: Weights): Network {
  const sizes = layerSizes(spec);
  const tensor = (name: string, size: number): Float64Array => {
    const values = weights[name];
    if (values?.length !== size) throw new Error(`${name} has ${values?.length} values instead of ${size}`);
    return Float64Array.from(values);
  };
  const layers = sizes.slice(1).map((outputs, l): Layer => {
    const inputs = at(sizes, l);
    const name = `net.${2 * l}`;
    return {
      name,
      inputs,
      outputs,
      weight: tensor(`${name}.weight`, outputs * inputs),
      bias: tensor(`${name}.bias`, outputs),
    };
  });
  const full = { activation: "silu", time: "concat", inputOrder: "x,t", classes: 0, context: 0, ...spec } as const;
  return { spec: full, activation: activationFunctions[full.activation], layers };
}

/*
 * The three products with a weight matrix, plain loops over f64 arrays because tests spend their time here.
 * The sizes were checked when the network was made, so `as number` hides no missing entry.
 */

/** W h. */
function multiply({ inputs, outputs, weight }: Layer, h: Float64Array): Float64Array {
  const result = new Float64Array(outputs);
  for (let i = 0; i < outputs; i++) {
    let sum = 0;
    for (let k = 0; k < inputs; k++) sum += (weight[i * inputs + k] as number) * (h[k] as number);
    result[i] = sum;
  }
  return result;
}

/** Wᵀ a. */
function multiplyTransposed({ inputs, outputs, weight }: Layer, a: Float64Array): Float64Array {
  const result = new Float64Array(inputs);
  for (let i = 0; i < outputs; i++) {
    for (let k = 0; k < inputs; k++) {
      result[k] = (result[k] as number) + (weight[i * inputs + k] as number) * (a[i] as number);
    }
  }
  return result;
}

/** W̄ ← W̄ + a hᵀ. */
function addOuterProduct(gradient: Float64Array, a: Float64Array, h: Float64Array): void {
  for (let i = 0; i < a.length; i++) {
    for (let k = 0; k < h.length; k++) {
      gradient[i * h.length + k] = (gradient[i * h.length + k] as number) + (a[i] as number) * (h[k] as number);
    }
  }
}

/** First entry of x within the input vector: the time comes before it, or after. */
function stateOffset(spec: Required<MlpSpec>): number {
  if (spec.inputOrder === "x,t") return 0;
  return spec.time === "concat" ? 1 : 2 * spec.time.fourier;
}

/** The input vector: [x, time, one-hot class, context], or [time, x, one-hot class, context]. */
export function inputVector(spec: Required<MlpSpec>, t: number, x: Vector, condition: Condition): Float64Array {
  const timePart: number[] = [];
  if (spec.time === "concat") timePart.push(t);
  else {
    for (let j = 1; j <= spec.time.fourier; j++)
      timePart.push(Math.sin(2 * Math.PI * j * t), Math.cos(2 * Math.PI * j * t));
  }
  const state = Array.from({ length: spec.dim }, (_, i) => at(x, i));
  const oneHot = Array.from({ length: spec.classes }, (_, k) => (k === condition.label ? 1 : 0));
  const context = Array.from({ length: spec.context }, (_, i) => at(condition.context ?? [], i));
  const moving = spec.inputOrder === "x,t" ? [...state, ...timePart] : [...timePart, ...state];
  return Float64Array.from([...moving, ...oneHot, ...context]);
}

/** All that the reverse pass needs: h_0 … h_{L−1}, a_1 … a_L, and for each tangent k the same with a dot. */
export interface Evaluation {
  readonly h: readonly Float64Array[];
  readonly a: readonly Float64Array[];
  readonly hDot: readonly (readonly Float64Array[])[];
  readonly aDot: readonly (readonly Float64Array[])[];
  readonly velocity: Float64Array;
  /** J v_k for each tangent v_k. */
  readonly products: readonly Float64Array[];
}

const item = <T>(list: readonly T[], i: number): T => {
  const value = list[i];
  if (value === undefined) throw new Error(`index ${i} is beyond a list of ${list.length}`);
  return value;
};

/**
 * u_t(x), and J v_k for the given tangents:
 * a_l = W_l h_{l−1} + b_l, h_l = φ(a_l); ȧ_l = W_l ḣ_{l−1}, ḣ_l = φ'(a_l) ȧ_l.
 */
export function evaluate(
  net: Network,
  t: number,
  x: Vector,
  tangents: readonly Vector[] = [],
  condition: Condition = {},
): Evaluation {
  const { spec, layers, activation } = net;
  const offset = stateOffset(spec);
  const h = [inputVector(spec, t, x, condition)];
  const a: Float64Array[] = [];
  const hDot = tangents.map((v) => {
    const first = new Float64Array(item(layers, 0).inputs);
    for (let i = 0; i < spec.dim; i++) first[offset + i] = at(v, i);
    return [first];
  });
  const aDot: Float64Array[][] = tangents.map(() => []);
  layers.forEach((layer, l) => {
    const sum = multiply(layer, item(h, l));
    addScaled(sum, 1, layer.bias);
    a.push(sum);
    const products = hDot.map((tangent) => multiply(layer, item(tangent, l)));
    products.forEach((product, k) => void item(aDot, k).push(product));
    if (l === layers.length - 1) return;
    h.push(sum.map(activation.value));
    if (tangents.length === 0) return;
    const slope = sum.map(activation.first);
    products.forEach((product, k) => void item(hDot, k).push(product.map((v, i) => at(slope, i) * v)));
  });
  const last = layers.length - 1;
  return {
    h,
    a,
    hDot,
    aDot,
    velocity: item(a, last),
    products: aDot.map((layersOfTangent) => item(layersOfTangent, last)),
  };
}

/** Gradients of zero, one per tensor. */
export function zeroGradients(net: Network): Gradients {
  return Object.fromEntries(
    net.layers.flatMap(({ name, weight, bias }) => [
      [`${name}.weight`, new Float64Array(weight.length)],
      [`${name}.bias`, new Float64Array(bias.length)],
    ]),
  );
}

/**
 * Reverse of {@link evaluate}: given cotangents ū of u and Ȳ_k of J v_k, returns x̄ and adds W̄, b̄ into `gradients`.
 * ā_l = φ'(a_l) h̄_l + φ''(a_l) Σ_k ȧ_{l,k} H̄_{l,k}, Ā_{l,k} = φ'(a_l) H̄_{l,k}.
 */
export function reverse(
  net: Network,
  evaluation: Evaluation,
  velocityCotangent: Vector,
  productCotangents: readonly Vector[] = [],
  gradients?: Gradients,
): Float64Array {
  const { layers, activation, spec } = net;
  const { h, a, hDot, aDot } = evaluation;
  let aBar = Float64Array.from(velocityCotangent);
  let ABar = productCotangents.map((cotangent) => Float64Array.from(cotangent));
  for (let l = layers.length - 1; ; l--) {
    const layer = item(layers, l);
    const [weightBar, biasBar] = [gradients?.[`${layer.name}.weight`], gradients?.[`${layer.name}.bias`]];
    if (weightBar && biasBar) {
      addScaled(biasBar, 1, aBar);
      addOuterProduct(weightBar, aBar, item(h, l));
      ABar.forEach((bar, k) => void addOuterProduct(weightBar, bar, item(item(hDot, k), l)));
    }
    const hBar = multiplyTransposed(layer, aBar);
    const HBar = ABar.map((bar) => multiplyTransposed(layer, bar));
    if (l === 0) return hBar.slice(stateOffset(spec), stateOffset(spec) + spec.dim);
    const before = item(a, l - 1);
    aBar = before.map((value, i) => {
      let curvature = 0;
      HBar.forEach((bar, k) => {
        curvature += at(item(item(aDot, k), l - 1), i) * at(bar, i);
      });
      return activation.first(value) * at(hBar, i) + activation.second(value) * curvature;
    });
    ABar = HBar.map((bar) => before.map((value, i) => activation.first(value) * at(bar, i)));
  }
}

/** J v. */
export function jvp(net: Network, t: number, x: Vector, v: Vector, condition: Condition = {}): Float64Array {
  return item(evaluate(net, t, x, [v], condition).products, 0);
}

/** Jᵀ w. */
export function vjp(net: Network, t: number, x: Vector, w: Vector, condition: Condition = {}): Float64Array {
  return reverse(net, evaluate(net, t, x, [], condition), w);
}

/** How a particle's divergence is found: the trace of J, or the mean of Zᵀ J Z over the particle's probes Z. */
export type Divergence = "exact" | readonly Vector[];

/** The tangents that a divergence needs. */
export function divergenceTangents(dim: number, divergence: Divergence): readonly Vector[] {
  return divergence === "exact" ? Array.from({ length: dim }, (_, k) => unit(dim, k)) : divergence;
}

/** Σ_k ⟨v_k, J v_k⟩ over the unit vectors, or its mean over the probes. */
export function divergenceOf(evaluation: Evaluation, dim: number, divergence: Divergence): number {
  const tangents = divergenceTangents(dim, divergence);
  let sum = 0;
  tangents.forEach((v, k) => {
    sum += dot(v, item(evaluation.products, k));
  });
  return divergence === "exact" ? sum : sum / tangents.length;
}

/** div u_t(x), exact or by Hutchinson's estimate with the given probes. */
export function divergence(
  net: Network,
  t: number,
  x: Vector,
  how: Divergence = "exact",
  condition: Condition = {},
): number {
  const { dim } = net.spec;
  return divergenceOf(evaluate(net, t, x, divergenceTangents(dim, how), condition), dim, how);
}
