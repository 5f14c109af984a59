import { invalid } from "../../errors.ts";
import { checkFinite, checkInteger, checkKeys, checkWord, show } from "../../options.ts";
import { gainOf } from "./activate.ts";
import { type PyTorchLine, pythonLayer } from "./pytorch.ts";
import { type Initial, type OfEach, type Operation, type ParameterSpec, type Place, rule } from "./rule.ts";

const initials = ["default", "zero"] as const;

/**
 * How the weights of a layer begin. `"default"`: variance gain/inputs. `"zero"`: the branch behind the layer starts at zero. A number s:
 * normal with standard deviation s/√inputs. Both of these have biases of 0.
 *
 * `frequencies`, for a sin or cos behind the layer: unit u of W has |w| = low (high/low)^((u + ½)/W) rad per unit, in a random direction of
 * the inputs from `of[0]` to before `of[1]` (default: all), so that frequencies are spread evenly by their logarithm; other inputs get
 * variance 2/inputs, biases are uniform in ±π. These are random Fourier features (Rahimi & Recht 2007) that are trained.
 */
export type LayerInitial =
  | (typeof initials)[number]
  | number
  | { readonly frequencies: readonly [low: number, high: number]; readonly of?: readonly [start: number, end: number] };

interface LinearOperation extends Operation {
  readonly op: "linear";
  readonly width: number;
  readonly name: string;
  readonly bias: boolean;
  readonly initial: LayerInitial;
}

/** Standard deviation of an output layer relative to LeCun's: a new flow starts near the identity. */
const outputScale = 0.1;

/**
 * Weights are normal with variance gain/fan-in: gain 2 (He et al. 2015) before rectifier-like activations, else 1 (LeCun et al.
 * 1998); an output layer is scaled down, so that a new flow hardly moves.
 */
function initialOf({ initial, width }: LinearOperation, { widths: [inputs], isOutput, activations }: Place): Initial {
  if (initial === "zero") return { value: 0 };
  if (typeof initial === "number") return { deviation: initial / Math.sqrt(inputs) };
  if (typeof initial === "object") return { of: [0, inputs], ...initial, shape: [width, inputs] };
  if (isOutput) return { deviation: outputScale / Math.sqrt(inputs) };
  return { deviation: Math.sqrt(Math.max(1, ...activations.map(gainOf)) / inputs) };
}

const isRange = (pair: unknown, least: number, most: number) =>
  Array.isArray(pair) && least <= pair[0] && pair[0] <= pair[1] && pair[1] <= most;

function checkInitial(name: string, initial: LayerInitial, inputs: number): void {
  if (typeof initial === "number") checkFinite(name, initial, 0, 1e6);
  else if (typeof initial !== "object" || initial === null) checkWord(name, initial, initials);
  else {
    checkKeys(name, initial, ["frequencies", "of"]);
    const { frequencies, of = [0, inputs] } = initial;
    if (!isRange(frequencies, 1e-6, 1e6) || !isRange(of, 0, inputs))
      throw invalid(
        `${name} is ${show(frequencies)} of ${show(of)}, but frequencies are a pair, the lower one first, of a range of the ${inputs} inputs`,
      );
  }
}

/** W v + b, W `${name}.weight` [width, in], b `${name}.bias` [width]. */
export const linearRule = rule<LinearOperation>({
  op: "linear",
  settings: ["width", "name", "bias", "initial"],
  width(what, { width, name, bias, initial }, { widths: [inputs] }) {
    if (typeof name !== "string" || name === "")
      throw invalid(`${what}: name is ${show(name)}, but it is the name of the layer's tensors, such as "in"`);
    if (typeof bias !== "boolean") throw invalid(`${what} "${name}": bias is ${show(bias)}, but it is true or false`);
    checkInitial(`${what} "${name}": initial`, initial, inputs);
    return checkInteger(`${what} "${name}": width`, width, 1, 1 << 16);
  },
  parameters(own, place): ParameterSpec[] {
    const [inputs] = place.widths;
    const weight = { name: `${own.name}.weight`, shape: [own.width, inputs], initial: initialOf(own, place) };
    if (!own.bias) return [weight];
    const initial = typeof own.initial === "object" ? { bound: Math.PI } : { value: 0 };
    return [weight, { name: `${own.name}.bias`, shape: [own.width], initial }];
  },
  write: (p, { name, width, bias }, [of]) =>
    p.linear(of, { tensor: `${name}.weight`, outputs: width }, bias ? `${name}.bias` : undefined),
});

export function linearInPyTorch(
  { name, width, bias }: LinearOperation,
  [v]: OfEach<string>,
  columns: number,
): PyTorchLine {
  return pythonLayer(name, `nn.Linear(${columns}, ${width}${bias ? "" : ", bias=False"})`, v);
}
