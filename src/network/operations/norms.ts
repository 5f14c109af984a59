import { invalid } from "../../errors.ts";
import { checkSingle, show } from "../../options.ts";
import { type PyTorchLine, pythonLayer, pythonNumber } from "./pytorch.ts";
import { type OfEach, type Operation, type Place, rule } from "./rule.ts";

interface NormOperation extends Operation {
  readonly name: string;
  readonly eps: number;
}

function normWidth(what: string, { name, eps }: NormOperation, { widths: [width] }: Place): number {
  if (typeof name !== "string" || name === "")
    throw invalid(`${what}: name is ${show(name)}, but it is the name of the layer's tensors, such as "norm"`);
  checkSingle(`${what} "${name}": eps`, eps, 0);
  return width;
}

/** (v − mean) / √(variance + eps) ⊙ w + b over the rows of a particle (Ba et al. 2016, eq. 4). */
export const layerNormRule = rule<NormOperation>({
  op: "layerNorm",
  settings: ["name", "eps"],
  width: normWidth,
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

export function layerNormInPyTorch({ name, eps }: NormOperation, [v]: OfEach<string>, columns: number): PyTorchLine {
  return pythonLayer(name, `nn.LayerNorm(${columns}, eps=${pythonNumber(eps)})`, v);
}

/** v / √(mean of v² + eps) ⊙ w over the rows of a particle (Zhang & Sennrich 2019, eq. 4). */
export const rmsNormRule = rule<NormOperation>({
  op: "rmsNorm",
  settings: ["name", "eps"],
  width: normWidth,
  parameters: ({ name }, { widths: [width] }) => [{ name: `${name}.weight`, shape: [width], initial: { value: 1 } }],
  write(p, { name, eps }, [of], width) {
    const square = p.map({ name: "shift", by: eps }, p.mean(p.multiply(of, of)));
    return p.multiply(p.multiply(of, p.map({ name: "inverse root" }, square)), p.parameter(`${name}.weight`, width));
  },
});

/** PyTorch 1 has none. */
const definition = `class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, v):
        return v * torch.rsqrt(v.square().mean(-1, keepdim=True) + self.eps) * self.weight`;

export function rmsNormInPyTorch({ name, eps }: NormOperation, [v]: OfEach<string>, columns: number): PyTorchLine {
  return { ...pythonLayer(name, `RMSNorm(${columns}, ${pythonNumber(eps)})`, v), definition };
}
