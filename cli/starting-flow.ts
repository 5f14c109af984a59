import type { Command } from "commander";
import { PushforwardError } from "../src/errors.ts";
import type { TrainableVelocity } from "../src/velocity/field.ts";
import { contextWidth } from "./conditions.ts";
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
  const isGiven = (name: string) => ["cli", "config"].includes(command.getOptionValueSource(name) ?? "");
  const { velocity } = model.options;
  for (const [name, kind, what] of [
    ["labels", "classes", "class labels"],
    ["context", "context", "context"],
  ] as const) {
    const isNamed = model.conditions[name] !== undefined || command.getOptionValue(name) !== undefined;
    const width = kind === "context" ? contextWidth(model.conditions, velocity) : velocity[kind];
    if (width > 0 !== isNamed)
      throw new PushforwardError(
        "invalid-argument",
        isNamed
          ? `--${name} names what a flow is conditioned on, but ${shown(path)} is a flow without ${what}: leave it out, or train a new flow`
          : `${shown(path)} is a flow with ${what}: say which column${name === "labels" ? " holds" : "s hold"} them with --${name}`,
      );
  }
  for (const name of ["hidden", "activation", "time"] as const) {
    if (!isGiven(name)) continue;
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
  const isShortcut = command.getOptionValue("shortcut") !== undefined;
  if (isShortcut !== (model.conditions.shortcut === true))
    throw new UsageError(
      isShortcut
        ? `--shortcut is for a flow that is told the length of a step, but that of --from, ${shown(path)}, was trained without: leave it out, or train a new flow`
        : `the flow of --from, ${shown(path)}, was trained with --shortcut, which goes on as it began: give it`,
    );
  // pairs are of this training, whatever the flow starts from
  const isPaired = command.getOptionValue("coupling") === "paired";
  for (const name of ["field", "width", "blocks", "features", "initial", "classes", ...(isPaired ? [] : ["source"])])
    if (isGiven(name))
      throw new UsageError(
        `--${name} is for a new flow, but that of --from, ${shown(path)}, has a network and a source of its own: leave --${name} out`,
      );
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
