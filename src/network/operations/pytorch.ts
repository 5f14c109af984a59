import { invalid } from "../../errors.ts";
import type { OfEach, Operation } from "./rule.ts";

/** An operation as PyTorch has it. */
export interface PyTorchLine {
  /** The expression of its result. */
  readonly value: string;
  /** What makes the layer that it needs. */
  readonly layer?: string;
  /** The function or class of Python that it calls, where PyTorch has none. */
  readonly definition?: string;
}

/**
 * Writes an operation in Python, from the names of its arguments and, where it has a layer, the columns of that layer's weights.
 * It stands beside the rule, not in it: who does not export has no need of it.
 */
export type PyTorchText = {
  line(own: Operation, of: OfEach<string>, columns: number): PyTorchLine;
}["line"];

export const pythonString = (text: string): string => JSON.stringify(text);

export function pythonNumber(value: number): string {
  if (!Number.isFinite(value)) throw invalid(`toPyTorch: the network holds ${value}, but numbers are finite`);
  return String(value).replace("e+", "e");
}

export const pythonList = (values: readonly number[]): string => `[${values.map(pythonNumber).join(", ")}]`;

/** A tuple of one ends with a comma. */
export const pythonTuple = (parts: readonly string[]): string =>
  `(${parts.join(", ")}${parts.length === 1 ? "," : ""})`;

/** A module under the name of a layer, and its result. */
export const pythonLayer = (name: string, module: string, v: string): PyTorchLine => ({
  layer: `self.put(${pythonString(name)}, ${module})`,
  value: `self.layer(${pythonString(name)}, ${v})`,
});
