import type { Normalization } from "../src/data/normalization.ts";
import { axesOf, checkTransform, type Transform } from "../src/data/transform.ts";
import { freeRows } from "../src/data/transform-maps.ts";
import { PushforwardError } from "../src/errors.ts";
import { must } from "../src/must.ts";
import { fitColumns } from "./column-fit.ts";
import { type Conditions, givenOf, takeColumns } from "./conditions.ts";
import { type Context, UsageError } from "./context.ts";
import { readCsv } from "./csv.ts";
import { columnsOption, columnWord } from "./csv-shape.ts";
import { shown } from "./csv-text.ts";
import type { Rows } from "./objective.ts";
import { count, rowsText } from "./report.ts";
import { splitRows } from "./split.ts";
import { checkWidth, type StartingFlow, withStart } from "./starting-flow.ts";
import { tableInput } from "./table-input.ts";
import type { TrainOptions } from "./training-options.ts";
import { withNames } from "./wording.ts";

type Table = Awaited<ReturnType<typeof readCsv>>;

/** What a training is of. */
export interface TrainingData {
  /** Names of the columns that are learned. */
  readonly columns: readonly string[];
  readonly conditions: Conditions;
  readonly kept: Rows;
  /** Undefined where --holdout keeps none. */
  readonly held: Rows | undefined;
  readonly normalization: Normalization | undefined;
  readonly transform: Transform | undefined;
  readonly classes: number;
  /** Rows of --source [m, dim] that the flow starts from. */
  readonly source: Float64Array | undefined;
  readonly table: Table;
}

/** Reads the rows, takes them apart into what is learned and what it depends on, and into training and held-out rows. */
export async function readTrainingData(
  context: Context,
  path: string,
  o: TrainOptions,
  start: StartingFlow | undefined,
): Promise<TrainingData> {
  const named = {
    ...start?.conditions,
    ...(o.labels !== undefined && { labels: o.labels }),
    ...(o.context && { context: { names: o.context } }),
  } as { labels?: string; context?: { names: readonly string[] } };
  const others = [
    ...(named.labels === undefined ? [] : [named.labels]),
    ...(named.context?.names ?? []),
    ...(o.rowWeights === undefined ? [] : [o.rowWeights]),
  ];
  checkApart(o, others);
  const wanted = o.columns ?? start?.columns;
  const table = await readTable(context, path, o, wanted && [...wanted, ...others]).catch((error) => {
    throw start && o.columns === undefined ? withStart(error, start) : error;
  });
  const name = path === "-" ? "the CSV" : path;
  const columns = wanted ?? table.columns.filter((column) => !others.includes(column));
  for (const other of others)
    if (!table.columns.includes(other))
      throw new PushforwardError(
        "format",
        `${shown(name)} has no column ${shown(other)}: it has ${table.columns.map(shown).join(", ")}`,
      );
  if (columns.length === 0)
    throw new UsageError("all columns are labels, context or weights, so there is none to learn: give others too");
  if (start) checkWidth(name, columns, start);
  checkConditioned(o, named);
  const source = o.source === undefined ? undefined : await readSource(context, o, columns);
  if (source && o.coupling === "paired") checkPaired(name, table, source);
  const parts = splitRows(table.data, table.columns.length, o.holdout, o.seed);
  const rows = parts.kept.length / table.columns.length;
  if (rows < 2) throw tooFewRows(name, table, rows);
  const take = (data: Float64Array, names: readonly string[]) => takeColumns(data, table.columns, names);
  if (o.rowWeights !== undefined) checkWeights(o.rowWeights, take(table.data, [o.rowWeights]));
  if (start && o.transform)
    throw new UsageError("--transform is for a new flow, but that of --from has its own: leave one of the two out");
  const transform = start ? start.options.transform : o.transform;
  if (transform) {
    if (axesOf(transform) !== columns.length)
      throw new UsageError(
        `--transform is a list of ${count(axesOf(transform))}, but of columns there are ${count(columns.length)}, ${columns.map(shown).join(", ")}: say one for each, in their order, and none for those that may be any number`,
      );
    checkTransform(transform, columns.length);
    // a row outside is told by its number in the file
    withNames(columns, () => freeRows(name, "the table", take(table.data, columns), transform));
  }
  if (source && transform) withNames(columns, () => freeRows("--source", "the table", source.data, transform));
  const unitsOf = (names: readonly string[], space?: Transform) => {
    const free = (rows: Float64Array) => freeRows(name, "the table", take(rows, names), space) as Float64Array;
    return fitColumns(name, names, free(parts.kept), free(parts.held));
  };
  const normalization = start ? start.options.normalization : unitsOf(columns, transform);
  const contextNames = named.context?.names;
  const own = start?.conditions.context?.normalization;
  const conditions: Conditions = {
    ...(named.labels !== undefined && { labels: named.labels }),
    ...(contextNames && { context: { names: contextNames, normalization: own ?? unitsOf(contextNames) } }),
    ...(o.shortcut !== undefined && { shortcut: true }),
  };
  const classes = start ? start.velocity.classes || undefined : o.classes;
  // of all rows, so that no class is missing because it was held out
  const { labels } = givenOf(conditions, table.data, table.columns, classes);
  // by the same seed into the same parts, row by row
  const starts =
    source && o.coupling === "paired" ? splitRows(source.data, columns.length, o.holdout, o.seed) : undefined;
  const rowsOf = (data: Float64Array, own: Float64Array | undefined): Rows => ({
    ...(own && { source: own }),
    data: take(data, columns),
    given: givenOf(conditions, data, table.columns, classes),
    ...(o.rowWeights !== undefined && { rowWeights: Float32Array.from(take(data, [o.rowWeights])) }),
  });
  const data = {
    columns,
    conditions,
    kept: rowsOf(parts.kept, starts?.kept),
    held: parts.held.length > 0 ? rowsOf(parts.held, starts?.held) : undefined,
    normalization,
    transform,
    classes: labels ? (classes ?? Math.max(...new Set(labels)) + 1) : 0,
    source: starts?.kept ?? source?.data,
    table,
  };
  tell(context, data, wanted === undefined);
  return data;
}

function readTable(context: Context, path: string, o: TrainOptions, columns: readonly string[] | undefined) {
  const needs = { rows: 2, spread: true };
  return readCsv(...tableInput(context, path, o, { columns, needs, reader: "pushforward train -" }));
}

/** The rows of --source, by the columns that they become. */
async function readSource(context: Context, o: TrainOptions, columns: readonly string[]): Promise<Table> {
  const names = o.sourceColumns ?? columns;
  if (names.length !== columns.length)
    throw new UsageError(
      `--source-columns names ${names.map(shown).join(", ")}, but ${count(columns.length)} columns are learned, ${columns.map(shown).join(", ")}: name as many, in this order`,
    );
  const path = must(o.source, "--source");
  const table = await readTable(context, path, o, names);
  if (table.rows === 0)
    throw new PushforwardError(
      "format",
      `--source ${shown(path)} has no rows${table.skipped > 0 ? ` besides ${count(table.skipped)} that were left out` : ""}, but the flow starts from at least one: give some`,
    );
  return table;
}

/** What is said of labels and contexts needs some. */
function checkConditioned(o: TrainOptions, named: { labels?: string; context?: unknown }): void {
  const lost =
    named.labels === undefined && o.classes !== undefined
      ? (["--classes", "--labels"] as const)
      : named.labels === undefined && o.labelDropout !== undefined
        ? (["--label-dropout", "--labels"] as const)
        : named.context === undefined && o.contextDropout !== undefined
          ? (["--context-dropout", "--context"] as const)
          : undefined;
  if (lost)
    throw new UsageError(`${lost[0]} is about ${lost[1]}, but there is none: say which column, or leave it out`);
}

function checkWeights(name: string, weights: Float64Array): void {
  const wrong = weights.find((weight) => !(weight >= 0));
  if (wrong !== undefined)
    throw new PushforwardError(
      "invalid-argument",
      `the column ${shown(name)} of --row-weights has ${wrong}, but rows count in proportion to numbers of at least 0: correct it, or weigh them by another column`,
    );
}

/** Row by row is what the files say, so neither may have lost one. */
function checkPaired(name: string, table: Table, source: Table): void {
  if (table.skipped + source.skipped > 0)
    throw new UsageError(
      `--skip-invalid has left out ${count(table.skipped)} of ${shown(name)} and ${count(source.skipped)} of --source, but with --coupling paired each row of the one belongs to that of the other: remove these rows from both, or use another --coupling`,
    );
  if (table.rows !== source.rows)
    throw new UsageError(
      `${shown(name)} has ${rowsText(table.rows)} and --source ${rowsText(source.rows)}, but with --coupling paired each row of the one belongs to that of the other: give as many`,
    );
}

/** A column is for one thing. */
function checkApart(o: TrainOptions, others: readonly string[]): void {
  const twice = [...(o.columns ?? []), ...others].find((name, i, all) => all.indexOf(name) !== i);
  if (twice !== undefined)
    throw new UsageError(
      `the column ${shown(twice)} is named twice among --columns, --labels, --context and --row-weights: name it once`,
    );
}

function tell({ stderr }: Context, { table, columns, source }: TrainingData, isAll: boolean): void {
  const from = source ? `, from ${rowsText(source.length / columns.length)} of --source` : "";
  const skipped =
    table.skipped > 0 ? `, ${rowsText(table.skipped, "incomplete")} left out (${table.survey.reasons()})` : "";
  stderr.write(`${count(table.rows)} rows of ${table.columns.map(columnWord).join(", ")}${from}${skipped}\n`);
  const labels = table.survey.labels.filter((name) => columns.includes(name));
  if (!isAll || labels.length === 0) return;
  const others = columns.filter((column) => !labels.includes(column));
  const what = labels.length === 1 ? "only numbers" : "only number";
  stderr.write(
    `note: ${labels.map(shown).join(", ")} ${what} rows or things; to leave ${labels.length === 1 ? "it" : "them"} out: ${columnsOption(others)}\n`,
  );
}

function tooFewRows(
  name: string,
  { rows, skipped }: { rows: number; skipped: number },
  kept: number,
): PushforwardError {
  const from = skipped > 0 ? ` besides ${count(skipped)} that were left out` : "";
  const split =
    rows > kept ? `, of which --holdout takes ${rows - kept}: give more rows, or --holdout 0` : ": give more rows";
  return new PushforwardError(
    "invalid-argument",
    `${name} has ${rows === 0 ? "no rows" : rowsText(rows)}${from}, but at least 2 are needed to train on${split}`,
  );
}
