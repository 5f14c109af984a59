import { must } from "../../must.ts";
import { checkWord } from "../../options.ts";
import type { PyTorchLine } from "./pytorch.ts";
import { type Operation, rule } from "./rule.ts";

/** What a network is given for each particle: its state [dim], the time [1], a one-hot label [classes], a context. */
const inputNames = ["x", "t", "label", "context"] as const;
export type InputName = (typeof inputNames)[number];

export interface InputOperation extends Operation {
  readonly op: "input";
  readonly input: InputName;
}

export const inputRule = rule<InputOperation>({
  op: "input",
  takes: "none",
  settings: ["input"],
  width: (what, { input }, { inputs }) =>
    must(inputs[checkWord(`${what}: input`, input, inputNames)], `the input ${input}`),
  write: (p, { input }, _, width) => p.input(input, width),
});

export function inputInPyTorch({ input }: InputOperation): PyTorchLine {
  return { value: input === "label" ? "y" : input };
}
