import { invalid } from "../../errors.ts";
import { checkSingle, show } from "../../options.ts";
import { type PyTorchLine, pythonLayer, pythonNumber } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

interface LayerNormOperation extends Operation {
  readonly op: "layerNorm";
  readonly name: string;
  readonly eps: number;
}

/** (v − mean) / √(variance + eps) ⊙ w + b over the rows of a particle (Ba et al. 2016, eq. 4). */
export const layerNormRule = rule<LayerNormOperation>({
  op: "layerNorm",
  settings: ["name", "eps"],
  width(what, { name, eps }, { widths: [width] }) {
    if (typeof name !== "string" || name === "")
      throw invalid(`${what}: name is ${show(name)}, but it is the name of the layer's tensors, such as "norm"`);
    checkSingle(`${what} "${name}": eps`, eps, 0);
    return width;
  },
  parameters: ({ name }, { widths: [width] }) => [
    { name: `${name}.weight`, shape: [width], initial: { value: 1 } },
    { name: `${name}.bias`, shape: [width], initial: { value: 0 } },
  ],
  write(p, { name, eps }, [of], width) {
    const centred = p.map({ name: "subtract" }, of, p.mean(of));
    const variance = p.mean(p.multiply(centred, centred));
    const scaled = p.multiply(centred, p.map({ name: "inverse root" }, p.map({ name: "shift", by: eps }, variance)));
    return p.add(p.multiply(scaled, p.parameter(`${name}.weight`, width)), p.parameter(`${name}.bias`, width));
  },
});

export function layerNormInPyTorch(
  { name, eps }: LayerNormOperation,
  [v]: OfEach<string>,
  columns: number,
): PyTorchLine {
  return pythonLayer(name, `nn.LayerNorm(${columns}, eps=${pythonNumber(eps)})`, v);
}
