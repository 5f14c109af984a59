import type { Command } from "commander";
import type { Solver } from "pushforward";
import { must } from "../src/must.ts";
import type { SolverOptions } from "./arguments.ts";
import { UsageError } from "./context.ts";
import type { ModelFile } from "./model.ts";
import { type NoiseOptions, solverWithNoise } from "./noise.ts";

/** Steps, each in one go, of a flow that was trained with --shortcut. */
interface ShortcutOptions {
  shortcuts?: number;
}

/** The solver of a call: that of its options, with noise or without, or Euler's for shortcuts. */
export function solverOfCall(o: SolverOptions & NoiseOptions & ShortcutOptions, command: Command): Solver {
  const isGiven = (name: string) => command.getOptionValueSource(name) === "cli";
  if (o.shortcuts === undefined) return solverWithNoise(o, isGiven("method"));
  const other = ["method", "steps", "tolerance", "maxSteps", "diffusion", "score"].find(isGiven);
  if (other !== undefined) {
    const { long } = must(
      command.options.find((option) => option.attributeName() === other),
      other,
    );
    throw new UsageError(`--shortcuts says how the flow is solved, and so does ${long}: leave one of them out`);
  }
  return { method: "euler", steps: o.shortcuts };
}

/** Throws where the flow was not trained to go in few steps. */
export function checkShortcuts({ shortcuts }: ShortcutOptions, { conditions }: ModelFile): void {
  if (shortcuts !== undefined && !conditions.shortcut)
    throw new UsageError(
      "--shortcuts is for a flow that `pushforward train --shortcut 2` made, which this one is not: leave it out, and choose --method and --steps",
    );
}
