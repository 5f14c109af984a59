import { invalid } from "../../errors.ts";
import { checkSingle, show } from "../../options.ts";
import { type PyTorchLine, pythonLayer, pythonNumber } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

interface RmsNormOperation extends Operation {
  readonly op: "rmsNorm";
  readonly name: string;
  readonly eps: number;
}

/** v / √(mean of v² + eps) ⊙ w over the rows of a particle (Zhang & Sennrich 2019, eq. 4). */
export const rmsNormRule = rule<RmsNormOperation>({
  op: "rmsNorm",
  settings: ["name", "eps"],
  width(what, { name, eps }, { widths: [width] }) {
    if (typeof name !== "string" || name === "")
      throw invalid(`${what}: name is ${show(name)}, but it is the name of the layer's tensor, such as "norm"`);
    checkSingle(`${what} "${name}": eps`, eps, 0);
    return width;
  },
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

export function rmsNormInPyTorch({ name, eps }: RmsNormOperation, [v]: OfEach<string>, columns: number): PyTorchLine {
  return { ...pythonLayer(name, `RMSNorm(${columns}, ${pythonNumber(eps)})`, v), definition };
}
