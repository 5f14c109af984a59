import type { Readable } from "node:stream";
import type { Normalization } from "../src/data/normalization.ts";
import { checkTransform, type Transform } from "../src/data/transform.ts";
import { freeRows } from "../src/data/transform-maps.ts";
import { PushforwardError } from "../src/errors.ts";
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
import type { TrainOptions } from "./training-options.ts";

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
  /** Rows of --source [m, dim]. */
  readonly source: Float64Array | undefined;
  readonly table: Table;
}

/** Reads the rows, takes them apart into what is learned and what it depends on, and into training and held-out rows. */
export async function readTrainingData(
  context: Context,
  source: string,
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
  const table = await readTable(context, source, o, wanted && [...wanted, ...others]).catch((error) => {
    throw start && o.columns === undefined ? withStart(error, start) : error;
  });
  const name = source === "-" ? "the CSV" : source;
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
  const parts = splitRows(table.data, table.columns.length, o.holdout, o.seed);
  const rows = parts.kept.length / table.columns.length;
  if (rows < 2) throw tooFewRows(name, table, rows);
  const take = (data: Float64Array, names: readonly string[]) => takeColumns(data, table.columns, names);
  if (start && o.transform)
    throw new UsageError("--transform is for a new flow, but that of --from has its own: leave one of the two out");
  const transform = start ? start.options.transform : o.transform;
  if (transform) {
    checkTransform(transform, columns.length);
    // a row outside is told by its number in the file
    freeRows(name, "the table", take(table.data, columns), transform);
  }
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
  };
  const classes = start ? start.velocity.classes || undefined : o.classes;
  // of all rows, so that no class is missing because it was held out
  const { labels } = givenOf(conditions, table.data, table.columns, classes);
  const rowsOf = (data: Float64Array): Rows => ({
    data: take(data, columns),
    given: givenOf(conditions, data, table.columns, classes),
    ...(o.rowWeights !== undefined && { rowWeights: Float32Array.from(take(data, [o.rowWeights])) }),
  });
  const data = {
    columns,
    conditions,
    kept: rowsOf(parts.kept),
    held: parts.held.length > 0 ? rowsOf(parts.held) : undefined,
    normalization,
    transform,
    classes: labels ? (classes ?? Math.max(...new Set(labels)) + 1) : 0,
    source: o.source === undefined ? undefined : (await readTable(context, o.source, o, columns)).data,
    table,
  };
  tell(context, data, wanted === undefined);
  return data;
}

function readTable(context: Context, path: string, o: TrainOptions, columns: readonly string[] | undefined) {
  return readCsv(path === "-" ? (context.stdin as Readable) : path, {
    ...(columns && { columns }),
    delimiter: o.delimiter,
    header: o.header,
    reader: "pushforward train -",
    needs: { rows: 2, spread: true },
    skipInvalid: o.skipInvalid,
    signal: context.signal,
  });
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
