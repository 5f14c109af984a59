import { Command, Option } from "commander";
import type { Flow, Solver } from "pushforward";
import { PushforwardError } from "../../src/errors.ts";
import { type SolverOptions, solverOf } from "../arguments.ts";
import { checkSingles } from "../column-fit.ts";
import {
  type ChosenConditions,
  type Conditions,
  chosenConditions,
  conditionColumns,
  type Given,
  givenForSolve,
  givenOf,
  takeColumns,
} from "../conditions.ts";
import { besideOutput, type Context, type GpuChoice, PartialResult, printResult, withGpu } from "../context.ts";
import { type CsvChunk, readCsvChunks } from "../csv.ts";
import { Survey } from "../csv-survey.ts";
import { shellWord } from "../csv-text.ts";
import { type RowFormat, rowFormatOf } from "../endings.ts";
import { readModel } from "../model.ts";
import { claimOutput } from "../outputs.ts";
import { duration, rowsText, startCounter } from "../report.ts";
import { openRows, type RowOutput } from "../row-output.ts";
import { scoreLayout } from "../score-layout.ts";
import { Scores } from "../scores.ts";
import { type TableOptions, tableInput } from "../table-input.ts";
import type { Target } from "../targets.ts";
import { withColumnNames } from "../wording.ts";
import { addOptions, groups, options } from "./shared-options.ts";

interface LogProbOptions extends GpuChoice, SolverOptions, TableOptions, ChosenConditions {
  columns?: string[];
  output?: string;
  format?: RowFormat;
  onlyScores: boolean;
  checkSteps: boolean;
  json: boolean;
}

const examples = `
Log-probabilities are in nats and in the units of the data: exp(log_prob) is a density per unit of every column.
The mean over all rows is printed with its standard error; -o also writes each row: all columns of the data as they are, and its
value as column log_prob. With --skip-invalid a column row says which row of the data it is: 1 is the first below the names, and
blank lines do not count. Labels and context are columns of the data, as at the training, or the same for all rows by --label and
--context. A file that ends in .bin, or --format bin, gets f32 numbers alone: the flow's columns and log_prob.
Rows whose value is not finite, or whose solve did not end, are counted, not in the mean, and make the exit code 3.

Examples:
  pushforward log-prob flow.safetensors places.csv                 the mean alone
  pushforward log-prob flow.safetensors places.csv -o scored.csv
  pushforward log-prob flow.safetensors places.csv -o scores.csv --only-scores
  pushforward log-prob flow.safetensors places.csv --steps 20 --check-steps
  pushforward log-prob flow.safetensors other.csv --columns lon,lat --json
  pushforward log-prob iris.safetensors third.csv --label 2          what sample --label 2 drew`;

export function logProbCommand(context: Context): Command {
  return addOptions(
    new Command("log-prob")
      .description("Evaluate the log-probability of rows under a trained flow.")
      .argument("<flow.safetensors>", "flow saved by train")
      .argument("<data.csv>", "CSV file, or - for stdin")
      .option("-o, --output <file>", "write the rows with their log-probabilities; - for stdout")
      .addOption(options.format())
      .option(
        "--only-scores",
        "write log_prob alone, in the order of the rows (with --skip-invalid beside row)",
        false,
      ),
    options.modelColumns(),
    ...groups.conditions(),
    ...groups.solver(),
    new Option("--check-steps", "solve again with twice the steps and print how the mean changes").default(false),
    ...groups.table(),
    options.software(),
    options.json(),
  )
    .addHelpText("after", examples)
    .action((model: string, data: string, o: LogProbOptions) => logProb(context, model, data, o));
}

/** The solver, and the finer one that it is compared with. */
interface Solvers {
  readonly solver: Solver;
  readonly finer: Solver | undefined;
}

/** Rows that are in memory at a time where their text is kept, too. */
const rowsWithText = 16_384;

async function logProb(context: Context, path: string, source: string, o: LogProbOptions): Promise<void> {
  const solvers = { solver: solverOf(o), finer: o.checkSteps ? solverOf(o, 2) : undefined };
  const inputs = [
    { name: "the flow", path },
    { name: "the data", path: source },
  ];
  const target = o.output === undefined ? undefined : await claimOutput(context, o.output, o.format === "bin", inputs);
  const format = target && rowFormatOf(target, o.format);
  const model = await readModel(path);
  const flowOptions = model.options;
  const { dim, classes } = flowOptions.velocity;
  const columns = o.columns ?? model.columns;
  // of the file, or the same for all rows
  const isChosen = o.label !== undefined || o.context !== undefined;
  const others = isChosen ? [] : conditionColumns(model.conditions);
  if (others.length > 0 && !columns) throw namesMissing(others);
  const isText = format === "csv";
  const survey = new Survey();
  const reading = {
    columns: columns && [...columns, ...others],
    reader: `pushforward log-prob ${shellWord(path)} -`,
    survey,
    ...(isText && { text: true, chunkRows: rowsWithText }),
  };
  const chunks = readCsvChunks(...tableInput(context, source, o, reading));
  const chosen = isChosen ? chosenConditions(o, model.conditions, flowOptions.velocity) : undefined;
  const conditioned = (chunk: CsvChunk): ConditionedChunk =>
    chosen ? { ...chunk, given: chosen } : withConditions(chunk, model.conditions, classes);
  try {
    // What is wrong with the data is said before a device is opened.
    const { value: whole } = await chunks.next();
    const first = whole && conditioned(whole);
    if (!first) throw new PushforwardError("format", "the CSV is empty"); // There is always a chunk.
    survey.checkMisfits();
    if (first.columns.length !== dim) throw wrongWidth(first.columns, dim);
    if (first.rows === 0) throw noRows(source === "-" ? "the CSV" : source, survey);
    if (target && !isText && !o.onlyScores)
      checkSingles(
        target.path,
        first.columns,
        flowOptions.transform ? undefined : flowOptions.normalization,
        "write a CSV (--format csv), or use --only-scores",
      );
    await withGpu(o, async (gpu) => {
      const { Flow } = await import("pushforward");
      const flow = Flow.create(gpu, flowOptions);
      try {
        const started = performance.now();
        const { scores, skipped } = await score(
          context,
          flow,
          withFirst(first, chunks, conditioned),
          solvers,
          o,
          target,
          format,
        );
        const seconds = (performance.now() - started) / 1000;
        report(target ? besideOutput(context, target) : context, o, scores, { skipped, seconds, survey });
      } finally {
        flow.dispose();
      }
    });
  } finally {
    await chunks.return(undefined);
  }
}

/** A chunk with the columns of the flow alone, and what its rows are conditioned on. */
interface ConditionedChunk extends CsvChunk {
  given: Given;
}

function withConditions(chunk: CsvChunk, conditions: Conditions, classes: number): ConditionedChunk {
  const others = conditionColumns(conditions);
  if (others.length === 0) return { ...chunk, given: givenForSolve({}, conditions, chunk.rows) };
  const columns = chunk.columns.filter((name) => !others.includes(name));
  return {
    ...chunk,
    columns,
    data: takeColumns(chunk.data, chunk.columns, columns),
    given: givenForSolve(givenOf(conditions, chunk.data, chunk.columns, classes), conditions, chunk.rows),
  };
}

async function* withFirst(
  first: ConditionedChunk,
  rest: AsyncIterable<CsvChunk>,
  conditioned: (chunk: CsvChunk) => ConditionedChunk,
): AsyncGenerator<ConditionedChunk> {
  yield first;
  for await (const chunk of rest) yield conditioned(chunk);
}

async function score(
  context: Context,
  flow: Flow,
  chunks: AsyncIterable<ConditionedChunk>,
  { solver, finer }: Solvers,
  o: LogProbOptions,
  target: Target | undefined,
  format: RowFormat | undefined,
): Promise<{ scores: Scores; skipped: number }> {
  const { signal } = context;
  const counter = startCounter(context, "rows scored:");
  let scores: Scores | undefined;
  let skipped = 0;
  let output: { rows: RowOutput; layout: ReturnType<typeof scoreLayout> } | undefined;
  const call = { signal, ...(o.guidance !== undefined && { guidance: o.guidance }) };
  try {
    for await (const chunk of chunks) {
      scores ??= new Scores(chunk.columns);
      if (target && output === undefined) {
        const layout = scoreLayout(chunk, { ...o, isText: format === "csv" });
        for (const notice of layout.notices) context.stderr.write(`${notice}\n`);
        output = { layout, rows: await openRows(context, target, layout.names, format) };
      }
      const before = scores.rows;
      const scored = await flow.logProb(chunk.data, { ...chunk.given, ...call, solver }).catch((error) => {
        throw withColumnNames(error, chunk.columns, before);
      });
      const twice = finer && (await flow.logProb(chunk.data, { ...chunk.given, ...call, solver: finer }));
      const values = scores.add(chunk.data, scored, twice);
      await output?.rows.write(output.layout.blocks(chunk, values));
      skipped = chunk.skipped;
      counter.update(scores.rows);
    }
    await output?.rows.finish();
  } catch (error) {
    throw output ? await output.rows.abandon(error) : error;
  } finally {
    counter.stop();
  }
  return { scores: scores ?? new Scores([]), skipped };
}

function namesMissing(others: readonly string[]): PushforwardError {
  return new PushforwardError(
    "format",
    `the flow depends on ${others.join(", ")}, but its file does not say which columns it is of: name them with --columns`,
  );
}

function wrongWidth(columns: readonly string[], dim: number): PushforwardError {
  const got = columns.length === 1 ? "1 column was" : `${columns.length} columns were`;
  return new PushforwardError(
    "invalid-argument",
    `the flow has ${dim} ${dim === 1 ? "dimension" : "dimensions"}, but ${got} read (${columns.join(", ")}): choose ${dim} with --columns`,
  );
}

function noRows(name: string, survey: Survey): PushforwardError {
  return new PushforwardError(
    "invalid-argument",
    survey.rows === 0
      ? `${name} has no rows, so there is nothing to score: expected rows of numbers below the names`
      : `--skip-invalid leaves none of ${rowsText(survey.rows)} of ${name} to score, because of ${survey.reasons()}`,
  );
}

function report(
  context: Context,
  o: LogProbOptions,
  scores: Scores,
  { skipped, seconds, survey }: { skipped: number; seconds: number; survey: Survey },
): void {
  const rows = scores.mean.count;
  const result = {
    rows,
    ...scores.figures,
    skipped,
    seconds,
    ...(o.checkSteps && { changeWithTwiceTheSteps: scores.change.mean }),
    ...(o.output && { output: o.output }),
  };
  const lines = [
    `mean log-probability ${scores.text}${rows > 0 ? ` over ${rowsText(rows)}` : ""} in ${duration(seconds)}`,
    ...(o.checkSteps ? [`with twice the steps it changes by ${scores.changeText}`] : []),
    ...(skipped > 0 ? [`${rowsText(skipped, "incomplete")} left out (${survey.reasons()})`] : []),
    ...(o.output && o.output !== "-" ? [`wrote ${o.output}`] : []),
  ];
  printResult(context, o.json, result, lines);
  const lost = scores.lost("rows", "try more --steps");
  if (lost !== undefined) throw new PartialResult(lost);
}
