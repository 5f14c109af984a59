import { invalid } from "../../errors.ts";
import { must } from "../../must.ts";
import { checkWord } from "../../options.ts";
import type { PyTorchLine } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

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
  softsign: 1,
} as const;

export type Activation = keyof typeof gains;
export const activations = Object.keys(gains) as Activation[];

/** Throws unless it is the name of an activation. */
export function checkActivation(name: string, given: unknown): Activation {
  if (given === "swish") throw invalid(`${name} is "swish", but that is called "silu" here`);
  return checkWord(name, given, activations);
}

export const gainOf = (activation: string): number =>
  must(gains[activation as Activation], `the gain of ${activation}`);

interface ActivateOperation extends Operation {
  readonly op: "activate";
  readonly activation: Activation;
}

/** φ(v), row by row. */
export const activateRule = rule<ActivateOperation>({
  op: "activate",
  settings: ["activation"],
  width(what, { activation }, { widths: [width] }) {
    checkActivation(`${what}: activation`, activation);
    return width;
  },
  write: (p, { activation }, [of]) => p.activate(of, activation),
});

/** The others are in `torch.nn.functional`, under the same names. */
const inTorch: readonly Activation[] = ["tanh", "sin", "sigmoid", "cos"];

export function activateInPyTorch({ activation }: ActivateOperation, [v]: OfEach<string>): PyTorchLine {
  // PyTorch's own is linear above its threshold, where the rest is below e^-40
  if (activation === "softplus") return { value: `F.softplus(${v}, threshold=40)` };
  return { value: `${inTorch.includes(activation) ? "torch" : "F"}.${activation}(${v})` };
}
