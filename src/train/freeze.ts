import { invalid } from "../errors.ts";
import type { ParameterTensor } from "../network/network.ts";
import { hint, show } from "../options.ts";
import type { TrainingPlan } from "./plan.ts";

/**
 * The tensors that a training leaves as they are.
 *
 * @throws PushforwardError `invalid-argument` for names of none, an answer that is none, and when nothing is left to train.
 */
export function frozenTensors(
  what: string,
  tensors: readonly ParameterTensor[],
  { options: { freeze } }: TrainingPlan,
): readonly ParameterTensor[] {
  if (freeze === undefined) return [];
  if (typeof freeze !== "function" && !Array.isArray(freeze))
    throw invalid(`${what}: freeze is ${show(freeze)}, but it is a list of names or a function of a name`);
  const isOf = (part: string, name: string) => name === part || name.startsWith(`${part}.`);
  if (typeof freeze !== "function")
    for (const part of freeze) {
      if (tensors.some(({ name }) => isOf(part, name))) continue;
      const names = tensors.map(({ name }) => name);
      throw invalid(
        `${what}: freeze has ${show(part)}, but the network has no tensor or layer of that name${hint(part, names, ".")} It has ${names.join(", ")}.`,
      );
    }
  const frozen = tensors.filter(({ name }) => {
    if (typeof freeze !== "function") return freeze.some((part) => isOf(part, name));
    const answer: unknown = freeze(name);
    if (typeof answer === "boolean") return answer;
    throw invalid(`${what}: freeze("${name}") returned ${show(answer)}, but it returns true or false`);
  });
  if (frozen.length === tensors.length)
    throw invalid(
      `${what}: freeze leaves nothing to train: the network has no tensors but ${frozen.map(({ name }) => name).join(", ")}`,
    );
  return frozen;
}
