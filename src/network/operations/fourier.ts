import { invalid } from "../../errors.ts";
import { checkSingle, show } from "../../options.ts";
import { type PyTorchLine, pythonList, pythonTuple } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

export interface FourierOperation extends Operation {
  readonly op: "fourier";
  /** B: a row of turns per unit for each pair of results. */
  readonly frequencies: readonly (readonly number[])[];
}

/** Numbers of B at most: its text goes into kernels. */
const mostFrequencies = 4096;

/** [sin 2πBv, cos 2πBv] (Tancik et al. 2020, eq. 5); the whole turns of Bv are taken away exactly before sine and cosine see it. */
export const fourierRule = rule<FourierOperation>({
  op: "fourier",
  settings: ["frequencies"],
  width(what, { frequencies }, { widths: [inputs] }) {
    if (!Array.isArray(frequencies) || frequencies.length === 0)
      throw invalid(
        `${what}: frequencies is ${show(frequencies)}, but it is a list of rows such as [[1], [2], [4]], one number per input of each`,
      );
    if (frequencies.length * inputs > mostFrequencies)
      throw invalid(
        `${what}: ${frequencies.length} frequencies of ${inputs} inputs are ${frequencies.length * inputs} numbers, but at most ${mostFrequencies} fit a kernel: use a linear layer`,
      );
    for (const [k, row] of frequencies.entries()) {
      if (!Array.isArray(row) || row.length !== inputs)
        throw invalid(
          `${what}: frequencies[${k}] is ${show(row)}, but a node of width ${inputs} needs rows of ${inputs} ${inputs === 1 ? "number" : "numbers"}`,
        );
      for (const [j, value] of row.entries()) checkSingle(`${what}: frequencies[${k}][${j}]`, value);
    }
    return 2 * frequencies.length;
  },
  write(p, { frequencies }, [of]) {
    const turns = p.project(of, frequencies, true);
    return p.concat([p.map({ name: "sine of turns" }, turns), p.map({ name: "cosine of turns" }, turns)]);
  },
});

/** Takes whole turns away before sine and cosine see them. */
const waves = `def waves(v, frequencies):
    turns = v @ v.new_tensor(frequencies).T
    turns = 2 * math.pi * (turns - turns.round())
    return torch.cat((turns.sin(), turns.cos()), 1)`;

export function fourierInPyTorch({ frequencies }: FourierOperation, [v]: OfEach<string>): PyTorchLine {
  const rows = pythonTuple(frequencies.map((row) => pythonList(row.map(Math.fround))));
  return { value: `waves(${v}, ${rows})`, definition: waves };
}
