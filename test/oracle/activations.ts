import { normalCdf, normalDensity } from "./special.ts";

/** φ with its first two derivatives. */
export interface ActivationFunction {
  readonly value: (a: number) => number;
  readonly first: (a: number) => number;
  readonly second: (a: number) => number;
}

/** 1/(1 + e^(−a)), by the exponential that cannot overflow. */
function sigmoid(a: number): number {
  const e = Math.exp(-Math.abs(a));
  return a >= 0 ? 1 / (1 + e) : e / (1 + e);
}

const softplus = (a: number) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
const sech2 = (a: number) => 1 / Math.cosh(a) ** 2;

/** The constants of Klambauer et al. 2017, as PyTorch has them. */
const [seluScale, seluAlpha] = [1.0507009873554805, 1.6732632423543772];

export const activationFunctions = {
  silu: {
    value: (a) => a * sigmoid(a),
    first: (a) => sigmoid(a) * (1 + a * sigmoid(-a)),
    second: (a) => sigmoid(a) * sigmoid(-a) * (2 + a * (1 - 2 * sigmoid(a))),
  },
  tanh: {
    value: Math.tanh,
    first: (a) => 1 - Math.tanh(a) ** 2,
    second: (a) => -2 * Math.tanh(a) * (1 - Math.tanh(a) ** 2),
  },
  softplus: {
    value: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    first: sigmoid,
    second: (a) => sigmoid(a) * sigmoid(-a),
  },
  gelu: {
    value: (a) => a * normalCdf(a),
    first: (a) => normalCdf(a) + a * normalDensity(a),
    second: (a) => normalDensity(a) * (2 - a * a),
  },
  elu: {
    value: (a) => (a > 0 ? a : Math.expm1(a)),
    first: (a) => (a > 0 ? 1 : Math.exp(a)),
    second: (a) => (a > 0 ? 0 : Math.exp(a)),
  },
  relu: {
    value: (a) => Math.max(a, 0),
    first: (a) => (a > 0 ? 1 : 0),
    second: () => 0,
  },
  sin: {
    value: Math.sin,
    first: Math.cos,
    second: (a) => -Math.sin(a),
  },
  cos: {
    value: Math.cos,
    first: (a) => -Math.sin(a),
    second: (a) => -Math.cos(a),
  },
  sigmoid: {
    value: sigmoid,
    first: (a) => sigmoid(a) * sigmoid(-a),
    second: (a) => sigmoid(a) * sigmoid(-a) * (sigmoid(-a) - sigmoid(a)),
  },
  selu: {
    value: (a) => seluScale * (a > 0 ? a : seluAlpha * Math.expm1(a)),
    first: (a) => seluScale * (a > 0 ? 1 : seluAlpha * Math.exp(a)),
    second: (a) => (a > 0 ? 0 : seluScale * seluAlpha * Math.exp(a)),
  },
  mish: {
    value: (a) => a * Math.tanh(softplus(a)),
    first: (a) => Math.tanh(softplus(a)) + a * sech2(softplus(a)) * sigmoid(a),
    second: (a) => {
      const [s, t, h] = [sigmoid(a), Math.tanh(softplus(a)), sech2(softplus(a))];
      return 2 * h * s + a * (h * s * sigmoid(-a) - 2 * t * h * s * s);
    },
  },
  softsign: {
    value: (a) => a / (1 + Math.abs(a)),
    first: (a) => 1 / (1 + Math.abs(a)) ** 2,
    second: (a) => (-2 * Math.sign(a)) / (1 + Math.abs(a)) ** 3,
  },
  leaky_relu: {
    value: (a) => (a > 0 ? a : 0.01 * a),
    first: (a) => (a > 0 ? 1 : 0.01),
    second: () => 0,
  },
} as const satisfies Record<string, ActivationFunction>;

export type ActivationName = keyof typeof activationFunctions;

export const activationNames = Object.keys(activationFunctions) as ActivationName[];
