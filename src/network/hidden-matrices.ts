import { must } from "../must.ts";
import type { Network, ParameterTensor } from "./network.ts";
import { argumentsOf } from "./program.ts";

/**
 * The matrices between hidden layers: every product with one reads values that hold no input of the network as it is, and goes
 * through another matrix before it is the velocity.
 */
export function hiddenMatrices({ program, output, tensors }: Network): ParameterTensor[] {
  const { steps } = program;
  const isRaw: boolean[] = [];
  for (const step of steps)
    isRaw.push(step.kind === "input" || (step.kind !== "linear" && argumentsOf(step).some((value) => isRaw[value])));
  const ends = new Set([output]);
  for (const value of ends) {
    const step = program.at(value);
    if (step.kind !== "linear") for (const argument of argumentsOf(step)) ends.add(argument);
  }
  const outer = new Set<string>();
  const inner = new Set<string>();
  for (const [value, step] of steps.entries())
    if (step.kind === "linear") (isRaw[step.of] || ends.has(value) ? outer : inner).add(step.tensor);
  return [...inner]
    .filter((name) => !outer.has(name))
    .map((name) =>
      must(
        tensors.find((tensor) => tensor.name === name),
        `the tensor "${name}"`,
      ),
    );
}
