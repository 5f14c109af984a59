import { invalid } from "../../errors.ts";
import { checkSingle } from "../../options.ts";
import { type PyTorchLine, pythonNumber } from "./pytorch.ts";
import { type OfEach, type Operation, type Place, rule } from "./rule.ts";

function equalWidths(what: string, { widths }: Pick<Place, "widths">): number {
  const [first] = widths;
  if (widths.some((width) => width !== first))
    throw invalid(`${what} takes nodes of equal width, but got ${widths.join(", ")}: slice the wider ones`);
  return first;
}

/** a + b + …, row by row. */
export const addRule = rule({
  op: "add",
  takes: "several",
  settings: [],
  width: (what, _, place) => equalWidths(what, place),
  write: (p, _, of) => of.reduce((sum, value) => p.add(sum, value)),
});

/** a ⊙ b. */
export const multiplyRule = rule({
  op: "multiply",
  takes: "several",
  settings: [],
  width: (what, _, place) => equalWidths(what, place),
  write: (p, _, of) => of.reduce((product, value) => p.multiply(product, value)),
});

interface ScaleOperation extends Operation {
  readonly op: "scale";
  readonly by: number;
}

/** c v. */
export const scaleRule = rule<ScaleOperation>({
  op: "scale",
  settings: ["by"],
  width(what, { by }, { widths: [width] }) {
    checkSingle(`${what}: by`, by);
    return width;
  },
  write: (p, { by }, [of]) => p.scale(of, by),
});

interface ShiftOperation extends Operation {
  readonly op: "shift";
  readonly by: number;
}

/** v + c. */
export const shiftRule = rule<ShiftOperation>({
  op: "shift",
  settings: ["by"],
  width(what, { by }, { widths: [width] }) {
    checkSingle(`${what}: by`, by);
    return width;
  },
  write: (p, { by }, [of]) => p.map({ name: "shift", by }, of),
});

export function addInPyTorch(_: Operation, of: OfEach<string>): PyTorchLine {
  return { value: of.join(" + ") };
}

export function multiplyInPyTorch(_: Operation, of: OfEach<string>): PyTorchLine {
  return { value: of.join(" * ") };
}

export function scaleInPyTorch({ by }: ScaleOperation, [v]: OfEach<string>): PyTorchLine {
  return { value: `${pythonNumber(by)} * ${v}` };
}

export function shiftInPyTorch({ by }: ShiftOperation, [v]: OfEach<string>): PyTorchLine {
  return { value: `${v} + ${pythonNumber(by)}` };
}
