import { invalid } from "../../errors.ts";
import { checkInteger, checkWord, show } from "../../options.ts";
import { gainOf } from "./activate.ts";
import { type Initial, type Operation, type ParameterSpec, type Place, rule } from "./rule.ts";

export const initials = ["default", "zero"] as const;

export interface LinearOperation extends Operation {
  readonly op: "linear";
  readonly width: number;
  readonly name: string;
  readonly bias: boolean;
  readonly initial: (typeof initials)[number];
}

/** Standard deviation of an output layer relative to LeCun's: a new flow starts near the identity. */
const outputScale = 0.1;

/**
 * Weights are normal with variance gain/fan-in: gain 2 (He et al. 2015) before rectifier-like activations, else 1 (LeCun et al.
 * 1998); an output layer is scaled down, so that a new flow hardly moves.
 */
function initialOf({ initial }: LinearOperation, { widths: [inputs], isOutput, activations }: Place): Initial {
  if (initial === "zero") return { value: 0 };
  if (isOutput) return { deviation: outputScale / Math.sqrt(inputs) };
  return { deviation: Math.sqrt(Math.max(1, ...activations.map(gainOf)) / inputs) };
}

/** W v + b, W `${name}.weight` [width, in], b `${name}.bias` [width]. */
export const linearRule = rule<LinearOperation>({
  op: "linear",
  settings: ["width", "name", "bias", "initial"],
  width(what, { width, name, bias, initial }) {
    if (typeof name !== "string" || name === "")
      throw invalid(`${what}: name is ${show(name)}, but it is the name of the layer's tensors, such as "in"`);
    if (typeof bias !== "boolean") throw invalid(`${what} "${name}": bias is ${show(bias)}, but it is true or false`);
    checkWord(`${what} "${name}": initial`, initial, initials);
    return checkInteger(`${what} "${name}": width`, width, 1, 1 << 16);
  },
  parameters(own, place): ParameterSpec[] {
    const [inputs] = place.widths;
    const weight = { name: `${own.name}.weight`, shape: [own.width, inputs], initial: initialOf(own, place) };
    if (!own.bias) return [weight];
    return [weight, { name: `${own.name}.bias`, shape: [own.width], initial: { value: 0 } }];
  },
  write: (p, { name, width, bias }, [of]) =>
    p.linear(of, { tensor: `${name}.weight`, outputs: width }, bias ? `${name}.bias` : undefined),
});
