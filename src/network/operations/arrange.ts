import { invalid } from "../../errors.ts";
import { checkInteger } from "../../options.ts";
import { type PyTorchLine, pythonTuple } from "./pytorch.ts";
import { type OfEach, type Operation, rule } from "./rule.ts";

/** The rows of all arguments, one after the other. */
export const concatRule = rule({
  op: "concat",
  takes: "several",
  settings: [],
  width: (_what, _, { widths }) => widths.reduce((sum, width) => sum + width, 0),
  write: (p, _, of) => p.concat(of),
});

export interface SliceOperation extends Operation {
  readonly op: "slice";
  readonly start: number;
  readonly end: number;
}

/** Rows `start` … `end` − 1. */
export const sliceRule = rule<SliceOperation>({
  op: "slice",
  settings: ["start", "end"],
  width(what, { start, end }, { widths: [width] }) {
    checkInteger(`${what}: start`, start, 0);
    checkInteger(`${what}: end`, end, 0);
    if (start >= end || end > width)
      throw invalid(
        `${what} takes rows ${start} to ${end} of a node of ${width}: start is below end, end at most ${width}`,
      );
    return end - start;
  },
  write: (p, { start, end }, [of]) => p.slice(of, start, end),
});

export function concatInPyTorch(_: Operation, of: OfEach<string>): PyTorchLine {
  return { value: `torch.cat(${pythonTuple(of)}, 1)` };
}

export function sliceInPyTorch({ start, end }: SliceOperation, [v]: OfEach<string>): PyTorchLine {
  return { value: `${v}[:, ${start}:${end}]` };
}
