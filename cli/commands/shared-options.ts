import { type Command, Option } from "commander";
import { finite } from "../../src/options/schema.ts";
import {
  adaptiveList,
  decimalWithin,
  defaultSteps,
  delimiterText,
  methods,
  nameList,
  wholeNumber,
} from "../arguments.ts";
import { rowFormats } from "../endings.ts";
import { judged, numberList } from "../judged.ts";

/** Options that several commands take, under one name and one meaning. */
export const options = {
  json: () => new Option("--json", "print the result as one line of JSON on stdout").default(false),
  software: () =>
    new Option("--software <choice>", "CPU adapters such as SwiftShader or lavapipe")
      .choices(["allow", "forbid", "require"])
      .default("allow"),
  method: () => new Option("--method <name>", "ODE solver").choices(methods).default("midpoint"),
  steps: () =>
    new Option("--steps <count>", `solver steps between t = 0 and 1 (default: ${defaultSteps})`).argParser(
      wholeNumber(1, 1_000_000),
    ),
  tolerance: () =>
    new Option(
      "--tolerance <error>",
      `of ${adaptiveList}, which choose the steps of each row: error of a step, relative and absolute (default: 1e-5)`,
    ).argParser(decimalWithin(1e-6, 1)),
  maxSteps: () =>
    new Option(
      "--max-steps <count>",
      `of ${adaptiveList}: steps after which a row is given up (default: 1000)`,
    ).argParser(wholeNumber(1, 1_000_000)),
  shortcuts: () =>
    new Option(
      "--shortcuts <steps>",
      "of a flow that was trained with --shortcut: so many steps from t = 0 to 1, each in one go, in place of a solver",
    ).argParser(wholeNumber(1, 1_000_000)),
  seed: (what: string) => new Option("--seed <integer>", what).argParser(wholeNumber(0)).default(0),
  label: () =>
    new Option("--label <class>", "of a flow that was trained with --labels: the class of all rows").argParser(
      wholeNumber(0),
    ),
  context: () =>
    new Option(
      "--context <numbers>",
      "of a flow that was trained with --context: its numbers for all rows, in the units of the data",
    ).argParser(numberList("0.5,12")),
  guidance: () =>
    new Option("--guidance <weight>", "of the class or context against none (default: 1)").argParser(judged(finite())),
  modelColumns: () =>
    new Option(
      "-c, --columns <names>",
      "columns, with commas between; default: those that the flow was trained on",
    ).argParser(nameList),
  format: () =>
    new Option(
      "--format <kind>",
      "csv, or bin: little-endian f32; default: by the file's ending, .csv or .bin, and csv on stdout",
    ).choices(rowFormats),
  queue: () =>
    new Option("--queue <name>", "queue in Redis, the same for all who work together").default("pushforward"),
  delimiter: () =>
    new Option("--delimiter <text>", "what separates the cells of a line; tab or \\t for a tab")
      .argParser(delimiterText)
      .default(","),
  header: () => new Option("--header", "the first line is names although they are numbers"),
  noHeader: () => new Option("--no-header", "the first line is data; columns are called 1, 2, …"),
  skipInvalid: () =>
    new Option("--skip-invalid", "leave out rows with a missing or non-numeric cell, or of another length").default(
      false,
    ),
};

/** Options that go together, in the order of the help. */
export const groups = {
  /** What all rows are conditioned on. */
  conditions: () => [options.label(), options.context(), options.guidance()],
  solver: () => [options.method(), options.steps(), options.tolerance(), options.maxSteps()],
  /** How a table is read. */
  table: () => [options.skipInvalid(), options.header(), options.noHeader(), options.delimiter()],
};

export function addOptions(command: Command, ...added: readonly Option[]): Command {
  for (const option of added) command.addOption(option);
  return command;
}
