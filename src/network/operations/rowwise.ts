import { invalid } from "../../errors.ts";
import { checkSingle } from "../../options.ts";
import type { Program, Value } from "../program.ts";
import { type PyTorchLine, pythonNumber } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

/** Two or more nodes of equal width, one row with the other. */
const joined = (op: string, join: (p: Program, a: Value, b: Value) => Value) =>
  rule({
    op,
    takes: "several",
    settings: [],
    width(what, _, { widths }) {
      const [first] = widths;
      if (widths.some((width) => width !== first))
        throw invalid(`${what} takes nodes of equal width, but got ${widths.join(", ")}: slice the wider ones`);
      return first;
    },
    write: (p, _, of) => of.reduce((all, value) => join(p, all, value)),
  });

/** a + b + …, row by row. */
export const addRule = joined("add", (p, a, b) => p.add(a, b));

/** a ⊙ b. */
export const multiplyRule = joined("multiply", (p, a, b) => p.multiply(a, b));

interface NumberOperation extends Operation {
  readonly by: number;
}

/** Every row with the same number. */
const byNumber = (op: string, write: (p: Program, of: Value, by: number) => Value) =>
  rule<NumberOperation>({
    op,
    settings: ["by"],
    width(what, { by }, { widths: [width] }) {
      checkSingle(`${what}: by`, by);
      return width;
    },
    write: (p, { by }, [of]) => write(p, of, by),
  });

/** c v. */
export const scaleRule = byNumber("scale", (p, of, by) => p.scale(of, by));

/** v + c. */
export const shiftRule = byNumber("shift", (p, of, by) => p.map({ name: "shift", by }, of));

export function addInPyTorch(_: Operation, of: OfEach<string>): PyTorchLine {
  return { value: of.join(" + ") };
}

export function multiplyInPyTorch(_: Operation, of: OfEach<string>): PyTorchLine {
  return { value: of.join(" * ") };
}

export function scaleInPyTorch({ by }: NumberOperation, [v]: OfEach<string>): PyTorchLine {
  return { value: `${pythonNumber(by)} * ${v}` };
}

export function shiftInPyTorch({ by }: NumberOperation, [v]: OfEach<string>): PyTorchLine {
  return { value: `${v} + ${pythonNumber(by)}` };
}
