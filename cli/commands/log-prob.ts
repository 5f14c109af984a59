import type { Readable } from "node:stream";
import { Command } from "commander";
import type { Flow } from "pushforward";
import { PushforwardError } from "../../src/errors.ts";
import { nameList, type SolverOptions, solverOf } from "../arguments.ts";
import { besideOutput, type Context, type GpuChoice, printResult, withGpu } from "../context.ts";
import { type CsvChunk, readCsvChunks } from "../csv.ts";
import { shellWord } from "../csv-text.ts";
import { readModel } from "../model.ts";
import { claimOutputs } from "../outputs.ts";
import { count, duration, startCounter } from "../report.ts";
import { openRows } from "../row-output.ts";
import { RunningMean } from "../statistics.ts";
import type { Target } from "../targets.ts";
import { options } from "./shared-options.ts";

interface LogProbOptions extends GpuChoice, SolverOptions {
  columns?: string[];
  output?: string;
  checkSteps: boolean;
  delimiter: string;
  header?: boolean;
  skipInvalid: boolean;
  json: boolean;
}

const examples = `
Log-probabilities are in nats and in the units of the data: exp(log_prob) is a density per unit of every column.
The mean over all rows is printed with its standard error; -o also writes each row with its value as column log_prob.

Examples:
  pushforward log-prob flow.safetensors places.csv                 the mean alone
  pushforward log-prob flow.safetensors places.csv -o scored.csv
  pushforward log-prob flow.safetensors places.csv --steps 20 --check-steps
  pushforward log-prob flow.safetensors other.csv --columns lon,lat --json`;

export function logProbCommand(context: Context): Command {
  return new Command("log-prob")
    .description("Evaluate the log-probability of rows under a trained flow.")
    .argument("<flow.safetensors>", "flow saved by train")
    .argument("<data.csv>", "CSV file, or - for stdin")
    .option("-o, --output <file>", "write the rows with their log-probabilities; - for stdout")
    .option(
      "-c, --columns <names>",
      "columns, with commas between; default: those that the flow was trained on",
      nameList,
    )
    .addOption(options.method())
    .addOption(options.steps())
    .option("--check-steps", "solve again with twice the steps and print how the mean changes", false)
    .addOption(options.skipInvalid())
    .addOption(options.header())
    .addOption(options.noHeader())
    .addOption(options.delimiter())
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((model: string, data: string, o: LogProbOptions) => logProb(context, model, data, o));
}

async function logProb(context: Context, path: string, source: string, o: LogProbOptions): Promise<void> {
  const inputs = [
    { name: "the flow", path },
    { name: "the data", path: source },
  ];
  const [target] =
    o.output === undefined ? [] : await claimOutputs(context, [{ name: "--output", path: o.output }], inputs);
  const model = await readModel(path);
  const columns = o.columns ?? model.columns;
  const rows = readCsvChunks(source === "-" ? (context.stdin as Readable) : source, {
    ...(columns && { columns }),
    delimiter: o.delimiter,
    header: o.header,
    reader: `pushforward log-prob ${shellWord(path)} -`,
    skipInvalid: o.skipInvalid,
    signal: context.signal,
  });
  await withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.load(gpu, model.bytes);
    try {
      const summary = await score(context, flow, rows, o, target);
      report(target ? besideOutput(context, target) : context, o, summary);
    } finally {
      flow.dispose();
    }
  });
}

interface Summary {
  mean: RunningMean;
  doubled: RunningMean;
  skipped: number;
  seconds: number;
}

async function score(
  context: Context,
  flow: Flow,
  chunks: AsyncIterable<CsvChunk>,
  o: LogProbOptions,
  target: Target | undefined,
): Promise<Summary> {
  const mean = new RunningMean();
  const doubled = new RunningMean();
  const counter = startCounter(context, "rows scored:");
  const started = performance.now();
  let skipped = 0;
  let output: Awaited<ReturnType<typeof openRows>> | undefined;
  try {
    for await (const chunk of chunks) {
      if (chunk.columns.length !== flow.dim) throw wrongWidth(chunk.columns, flow.dim);
      if (target) output ??= await openRows(context, target, [...chunk.columns, "log_prob"]);
      const data = Float32Array.from(chunk.data);
      const { logProb } = await flow.logProb(data, { solver: solverOf(o), signal: context.signal });
      mean.add(logProb);
      if (o.checkSteps) {
        const solver = solverOf(o, 2);
        doubled.add((await flow.logProb(data, { solver, signal: context.signal })).logProb);
      }
      await output?.write([
        { data, width: flow.dim },
        { data: logProb, width: 1 },
      ]);
      skipped = chunk.skipped;
      counter.update(mean.count + mean.nonFinite);
    }
    await output?.finish();
  } catch (error) {
    throw output ? await output.abandon(error) : error;
  } finally {
    counter.stop();
  }
  return { mean, doubled, skipped, seconds: (performance.now() - started) / 1000 };
}

function wrongWidth(columns: readonly string[], dim: number): PushforwardError {
  return new PushforwardError(
    "invalid-argument",
    `the flow has ${dim} dimensions, but ${columns.length} columns were read (${columns.join(", ")}): choose ${dim} with --columns`,
  );
}

function report(context: Context, o: LogProbOptions, { mean, doubled, skipped, seconds }: Summary): void {
  const change = doubled.mean - mean.mean;
  const result = {
    rows: mean.count,
    mean: mean.mean,
    standardError: mean.standardError,
    nonFinite: mean.nonFinite,
    skipped,
    seconds,
    ...(o.checkSteps && { changeWithTwiceTheSteps: change }),
    ...(o.output && { output: o.output }),
  };
  const lines = [
    `mean log-probability ${mean.mean.toFixed(4)} ± ${mean.standardError.toFixed(4)} nats over ${count(mean.count)} rows in ${duration(seconds)}`,
    ...(o.checkSteps
      ? [`with twice the steps it changes by ${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(5)}`]
      : []),
    ...(mean.nonFinite > 0
      ? [`${count(mean.nonFinite)} rows have no finite log-probability and are not in the mean`]
      : []),
    ...(skipped > 0 ? [`${count(skipped)} incomplete rows left out`] : []),
    ...(o.output && o.output !== "-" ? [`wrote ${o.output}`] : []),
  ];
  printResult(context, o.json, result, lines);
}
