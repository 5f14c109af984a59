import type { Command } from "commander";
import { PushforwardError } from "../src/errors.ts";
import type { TrainableVelocity } from "../src/velocity/field.ts";
import { isPushforwardError, UsageError } from "./context.ts";
import { columnWord } from "./csv-shape.ts";
import { shown } from "./file-errors.ts";
import { type ModelFile, readModel } from "./model.ts";
import { typed } from "./training-settings.ts";

/** The flow of which `train --from` takes weights, network, normalization and columns. */
export interface StartingFlow extends ModelFile {
  readonly path: string;
  readonly velocity: TrainableVelocity;
}

/** Reads the flow of `--from`; throws where it cannot be trained on rows, or the command line gives it another shape. */
export async function readStartingFlow(path: string, command: Command): Promise<StartingFlow> {
  const model = await readModel(path);
  const velocity = model.options.velocity as TrainableVelocity; // A file holds no other kind.
  for (const kind of ["classes", "context"] as const)
    if (velocity[kind] > 0)
      throw new PushforwardError(
        "invalid-argument",
        `${shown(path)} is a flow with ${kind === "classes" ? "class labels" : "context"}, which rows of a CSV do not give: train it with the library, or give --from another flow`,
      );
  for (const name of ["hidden", "activation", "time"] as const) {
    if (command.getOptionValueSource(name) !== "cli") continue;
    if (velocity.kind !== "mlp")
      throw new UsageError(
        `--${name} is for an mlp, but the flow of --from, ${shown(path)}, has a network of its own: leave --${name} out`,
      );
    const [there, here] = [velocity[name], command.getOptionValue(name)].map(typed);
    if (here !== there)
      throw new UsageError(
        `--${name} is ${here}, but the flow of --from, ${shown(path)}, has ${there}, and its weights fit no other: leave --${name} out`,
      );
  }
  const chosen: readonly string[] | undefined = command.getOptionValue("columns");
  if (chosen) checkColumns(path, model.columns ?? [], chosen, velocity.dim);
  return { ...model, path, velocity };
}

/** Other names are those of other data; the same ones in another order would swap columns. */
function checkColumns(path: string, own: readonly string[], chosen: readonly string[], dim: number): void {
  const isSwapped = own.some((name, i) => name !== chosen[i] && chosen.includes(name));
  if (chosen.length === dim && !isSwapped) return;
  const names = own.length > 0 ? ` (${own.map(columnWord).join(", ")})` : "";
  throw new UsageError(
    `--columns names ${chosen.map(columnWord).join(", ")}, but the flow of --from, ${shown(path)}, has ${dim === 1 ? "1 column" : `${dim} columns`}${names}: ${own.length > 0 ? "leave --columns out, or name as many in this order" : "name as many"}`,
  );
}

/** What reading the data throws, with whose columns were looked for. */
export function withStart(error: unknown, { path, columns = [] }: StartingFlow): unknown {
  if (!isPushforwardError(error) || !/ has no column "/.test(error.message)) return error;
  return new PushforwardError(
    error.code,
    `${error.message} The flow of --from, ${shown(path)}, was trained on ${columns.map(columnWord).join(", ")}: where the data call them otherwise, give their names with --columns in this order`,
    { cause: error },
  );
}

/** Throws where the data have more or fewer columns than the flow. */
export function checkWidth(name: string, columns: readonly string[], { path, velocity }: StartingFlow): void {
  if (columns.length === velocity.dim) return;
  throw new PushforwardError(
    "invalid-argument",
    `${shown(name)} has the columns ${columns.map(columnWord).join(", ")}, but the flow of --from, ${shown(path)}, has ${velocity.dim}: choose as many with --columns`,
  );
}
