import { must } from "../../must.ts";
import { checkWord } from "../../options.ts";
import { type Operation, rule } from "./rule.ts";

/** Activations by name, with the gain of the variance of weights before them: 2 for rectifier-like ones. */
const gains = {
  silu: 2,
  tanh: 1,
  softplus: 2,
  gelu: 2,
  elu: 2,
  relu: 2,
  sin: 1,
  sigmoid: 1,
  selu: 1,
  leaky_relu: 2,
  cos: 1,
  mish: 2,
} as const;

export type Activation = keyof typeof gains;
export const activations = Object.keys(gains) as Activation[];
export const gainOf = (activation: string): number =>
  must(gains[activation as Activation], `the gain of ${activation}`);

export interface ActivateOperation extends Operation {
  readonly op: "activate";
  readonly activation: Activation;
}

/** φ(v), row by row. */
export const activateRule = rule<ActivateOperation>({
  op: "activate",
  settings: ["activation"],
  width(what, { activation }, { widths: [width] }) {
    checkWord(`${what}: activation`, activation, activations);
    return width;
  },
  write: (p, { activation }, [of]) => p.activate(of, activation),
});
