import { Command } from "commander";
import { ownRows } from "../../src/data/units.ts";
import { PushforwardError } from "../../src/errors.ts";
import { item } from "../../src/must.ts";
import { integer } from "../../src/options/schema.ts";
import { nameList, wholeNumber } from "../arguments.ts";
import { type Context, printResult, UsageError } from "../context.ts";
import { readCsv } from "../csv.ts";
import { shown } from "../csv-text.ts";
import { judged } from "../judged.ts";
import { count, rowsText, startProgress } from "../report.ts";
import { shuffledIndices, takeRows } from "../split.ts";
import { RunningMean } from "../statistics.ts";
import { type TableOptions, tableInput } from "../table-input.ts";
import { addOptions, groups, options } from "./shared-options.ts";

const measures = ["w2", "sliced-w2", "energy", "mmd", "c2st"] as const;
type Measure = (typeof measures)[number];

/** Rows that c2st takes of each: two folds of two. */
const leastClassified = 4;

interface EvaluateOptions extends TableOptions {
  columns?: string[];
  measures: Measure[];
  rows: number;
  projections: number;
  dataUnits: boolean;
  seed: number;
  json: boolean;
}

const examples = `
Each measure is told beside its floor: what it is between two parts of the first file, which are of one distribution. A measure that is
not above its floor says that the files cannot be told apart by so many rows.
  w2         2-Wasserstein distance, exact
  sliced-w2  its mean over random lines
  energy     energy distance, without bias, so it may be below 0
  mmd        squared maximum mean discrepancy with a Gaussian kernel, without bias
  c2st       share of rows that a classifier tells apart: 0.5 is chance
Columns are divided by their deviation in the first file, so that all count alike, unless --data-units. No GPU is used.

Examples:
  pushforward evaluate places.csv samples.csv
  pushforward evaluate places.csv samples.csv --columns longitude,latitude --rows 2000
  pushforward evaluate places.csv samples.csv --measures sliced-w2,c2st --json`;

export function evaluateCommand(context: Context): Command {
  return addOptions(
    new Command("evaluate")
      .description("Compare the rows of two CSV files: data and samples.")
      .argument("<data.csv>", "CSV file of the data, or - for stdin")
      .argument("<samples.csv>", "CSV file of the samples, or - for stdin")
      .option("-c, --columns <names>", "columns, with commas between; default: all of the first file", nameList)
      .option("--measures <names>", `with commas between, of ${measures.join(", ")}`, measureList, [...measures])
      .option(
        "--rows <count>",
        "rows of each that are compared, drawn by the seed; at most half of the first file's",
        judged(integer(2, 5000)),
        1000,
      )
      .option("--projections <count>", "lines of sliced-w2", wholeNumber(1, 1e6), 256)
      .option("--data-units", "distances in the units of the data", false),
    options.seed("of the rows that are drawn"),
    ...groups.table(),
    options.json(),
  )
    .addHelpText("after", examples)
    .action((data: string, samples: string, o: EvaluateOptions) => evaluate(context, data, samples, o));
}

function measureList(text: string): Measure[] {
  const names = nameList(text);
  const wrong = names.find((name) => !measures.includes(name as Measure));
  if (wrong !== undefined) throw new UsageError(`--measures has ${shown(wrong)}, but there are ${measures.join(", ")}`);
  return names as Measure[];
}

interface Compared {
  readonly value: number;
  /** Between two parts of the first file. */
  readonly floor: number;
}

async function evaluate(context: Context, data: string, samples: string, o: EvaluateOptions): Promise<void> {
  if (data === "-" && samples === "-") throw new UsageError("both files are -, but stdin is one: name a file");
  const read = (path: string, columns: readonly string[] | undefined) =>
    readCsv(...tableInput(context, path, o, { columns, reader: "pushforward evaluate -" }));
  const first = await read(data, o.columns);
  const { columns } = first;
  const second = await read(samples, columns);
  const dim = columns.length;
  const size = Math.min(o.rows, Math.floor(first.rows / 2), second.rows);
  const least = o.measures.includes("c2st") ? leastClassified : 2;
  if (size < least) {
    const without = least > 2 ? ", or leave c2st out (see --measures)" : "";
    if (o.rows < least)
      throw new UsageError(`--rows is ${o.rows}, but c2st takes at least ${least}: give more${without}`);
    throw new PushforwardError(
      "invalid-argument",
      `${rowsText(first.rows)} of ${shown(data)} and ${rowsText(second.rows)} of ${shown(samples)} are too few to compare: at least ${2 * least} and ${least} are needed: give more rows${without}`,
    );
  }
  const moments = [first, second].map(({ data: rows }) => columnMoments(rows, dim)) as [Moments, Moments];
  const [reference, fresh, compared] = parts(first.data, second.data, dim, size, o, moments[0]);
  const progress = startProgress(context, "measuring", 2 * o.measures.length);
  const found: [Measure, Compared][] = [];
  try {
    for (const measure of o.measures) {
      const floor = await distance(measure, reference, fresh, dim, o, context.signal);
      progress.update(2 * found.length + 1, measure);
      const value = await distance(measure, reference, compared, dim, o, context.signal);
      found.push([measure, { value, floor }]);
      progress.update(2 * found.length, measure);
    }
  } finally {
    progress.stop();
  }
  const table = columns.map((name, i) => ({
    column: name,
    mean: moments.map(({ mean }) => item(mean, i)),
    deviation: moments.map(({ deviation }) => item(deviation, i)),
  }));
  const skipped = first.skipped + second.skipped;
  const result = {
    rows: [first.rows, second.rows],
    compared: size,
    skipped,
    columns: table,
    measures: Object.fromEntries(found),
  };
  const number = (value: number) => value.toPrecision(5);
  const distanceText = (value: number) => (Math.abs(value) < 1e6 ? value.toFixed(4) : number(value));
  printResult(context, o.json, result, [
    `${rowsText(first.rows)} and ${rowsText(second.rows)}${skipped > 0 ? `, ${count(skipped)} left out` : ""}`,
    ...table.map(
      ({ column, mean, deviation }) =>
        `${shown(column)}: mean ${mean.map(number).join(" and ")}, deviation ${deviation.map(number).join(" and ")}`,
    ),
    ...found.map(
      ([measure, { value, floor }]) =>
        `${measure.padEnd(10)} ${distanceText(value).padStart(8)}   floor ${distanceText(floor)} (${count(size)} rows each)`,
    ),
  ]);
}

/** Mean and standard deviation of each column. */
interface Moments {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

function columnMoments(rows: Float64Array, dim: number): Moments {
  const columns = Array.from({ length: dim }, (_, column) => {
    const moments = new RunningMean();
    moments.add(Float64Array.from({ length: rows.length / dim }, (_, row) => rows[row * dim + column] as number));
    return moments;
  });
  // cells are finite, and of at least two rows
  return {
    mean: columns.map(({ mean }) => mean as number),
    deviation: columns.map(({ deviation }) => deviation as number),
  };
}

/** Two parts of the data and one of the samples, of equally many rows, in the units that distances are measured in. */
function parts(
  data: Float64Array,
  samples: Float64Array,
  dim: number,
  size: number,
  { seed, dataUnits }: EvaluateOptions,
  { mean, deviation }: Moments,
): [Float32Array, Float32Array, Float32Array] {
  // the mean is taken off in either case: an f32 beside a large one keeps few digits
  const scale = deviation.map((value) => (dataUnits || value === 0 ? 1 : value));
  const drawn = (rows: Float64Array, from: number, salt: number) =>
    ownRows(takeRows(rows, dim, shuffledIndices(rows.length / dim, seed + salt).subarray(from, from + size)), {
      mean: [...mean],
      scale,
    });
  return [drawn(data, 0, 0), drawn(data, size, 0), drawn(samples, 0, 1)];
}

async function distance(
  measure: Measure,
  a: Float32Array,
  b: Float32Array,
  dim: number,
  { projections, seed }: EvaluateOptions,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted();
  const { c2st, energyDistance, mmd, slicedWasserstein, wasserstein2 } = await import("pushforward/diagnostics");
  switch (measure) {
    case "w2":
      return wasserstein2(a, b, dim);
    case "sliced-w2":
      return slicedWasserstein(a, b, dim, { projections });
    case "energy":
      return energyDistance(a, b, dim);
    case "mmd":
      return mmd(a, b, dim);
    case "c2st":
      return (await c2st(a, b, dim, { seed, signal, folds: Math.min(5, Math.floor(a.length / dim / 2)) })).accuracy;
  }
}
