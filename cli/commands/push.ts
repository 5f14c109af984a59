import { Command, Option } from "commander";
import type { FlowOptions, Solver } from "pushforward";
import { type DataUnits, rowsInFlow, rowsOfData } from "../../src/data/transform-maps.ts";
import { PushforwardError } from "../../src/errors.ts";
import { decimalWithin, type SolverOptions } from "../arguments.ts";
import {
  type ChosenConditions,
  chosenConditions,
  conditionColumns,
  givenForSolve,
  givenOf,
  takeColumns,
} from "../conditions.ts";
import {
  besideOutput,
  type Context,
  type GpuChoice,
  PartialResult,
  printResult,
  UsageError,
  withGpu,
} from "../context.ts";
import { readCsvChunks } from "../csv.ts";
import { shown } from "../csv-text.ts";
import { type RowFormat, rowFormatOf } from "../endings.ts";
import { columnNames, type ModelFile, readModel } from "../model.ts";
import { type NoiseOptions, noiseInputs, noiseOfCall, noiseOptions, scoreOn } from "../noise.ts";
import { claimOutput } from "../outputs.ts";
import { count, duration, rowsText, startCounter } from "../report.ts";
import { openRows } from "../row-output.ts";
import { digitsOf } from "../rows.ts";
import { checkShortcuts, solverOfCall } from "../shortcuts.ts";
import { type TableOptions, tableInput } from "../table-input.ts";
import type { Target } from "../targets.ts";
import { withNames } from "../wording.ts";
import { addOptions, groups, options } from "./shared-options.ts";

interface PushOptions extends GpuChoice, SolverOptions, ChosenConditions, NoiseOptions, TableOptions {
  output: string;
  seed: number;
  from: number;
  to: number;
  units: "auto" | "data" | "own";
  columns?: string[];
  format?: RowFormat;
  json: boolean;
}

const examples = `
Rows are carried along the flow: from t = 0, its source, to t = 1, the data, or between any two times, forward or back. At t = 1 rows
are in the units of the data; before it they are in the flow's own space, in which columns have mean 0 and deviation 1 and the source is
N(0, I). A flow that was trained with --source has the units of the data at all times. --units chooses one for both ends.
Labels and context are columns of the rows, as at the training, or the same for all by --label and --context. In CSV these columns
stand behind the carried ones, so that what was written can be carried on, and back.
Rows that are not finite, or whose solve did not end, are counted and make the exit code 3.

Examples:
  pushforward push moved.safetensors before.csv -o after.csv                   from data to data
  pushforward push flow.safetensors places.csv --from 1 --to 0 -o noise.csv    where rows come from
  pushforward push flow.safetensors places.csv --from 1 --to 0.8 --units data -o earlier.csv
  pushforward push moved.safetensors before.csv --diffusion 0.5 --score score.safetensors -o after.csv   with noise
  pushforward push iris.safetensors noise.csv --label 2 -o third.csv`;

export function pushCommand(context: Context): Command {
  return addOptions(
    new Command("push")
      .description("Carry rows along a trained flow, from one time to another.")
      .argument("<flow.safetensors>", "flow saved by train")
      .argument("<data.csv>", "CSV file, or - for stdin")
      .requiredOption("-o, --output <file>", "where the rows go; - for stdout")
      .option("--from <time>", "of the rows as they are given", decimalWithin(0, 1), 0)
      .option("--to <time>", "of the rows as they are written", decimalWithin(0, 1), 1)
      .addOption(
        new Option("--units <kind>", "of the rows at both ends; auto: see below")
          .choices(["auto", "data", "own"])
          .default("auto"),
      ),
    options.format(),
    options.modelColumns(),
    ...groups.conditions(),
    ...groups.solver(),
    options.shortcuts(),
    ...noiseOptions(),
    options.seed("of the noise"),
    ...groups.table(),
    options.software(),
    options.json(),
  )
    .addHelpText("after", examples)
    .action((model: string, data: string, o: PushOptions, command: Command) =>
      push(context, model, data, o, solverOfCall(o, command)),
    );
}

async function push(context: Context, path: string, source: string, o: PushOptions, solver: Solver): Promise<void> {
  if (o.from === o.to) throw new UsageError(`--from and --to are both ${o.to}: give two times, as in --from 1 --to 0`);
  const inputs = [{ name: "the flow", path }, { name: "the data", path: source }, ...noiseInputs(o)];
  const target = await claimOutput(context, o.output, o.format === "bin", inputs);
  const format = rowFormatOf(target, o.format);
  const model = await readModel(path);
  checkShortcuts(o, model);
  if (o.shortcuts !== undefined && (o.from !== 0 || o.to !== 1))
    throw new UsageError("--shortcuts are steps from t = 0 to 1: leave --from and --to out");
  const started = performance.now();
  const result = await withGpu(o, (gpu) => carry(context, gpu, { model, source, solver, target, format }, o));
  const seconds = (performance.now() - started) / 1000;
  const text = `${rowsText(result.rows)} from t = ${o.from} to ${o.to} in ${duration(seconds)}`;
  printResult(besideOutput(context, target), o.json, { output: o.output, ...result, seconds }, [
    target.kind === "stdout" ? text : `wrote ${o.output}: ${text}`,
  ]);
  const lost = result.nonFinite + result.unfinished;
  if (lost > 0)
    throw new PartialResult(
      `${count(lost)} of ${rowsText(result.rows)} ${lost === 1 ? "is" : "are"} not finite or did not come to the end: try more --steps or --max-steps`,
    );
}

interface Work {
  readonly model: ModelFile;
  readonly source: string;
  readonly solver: Solver;
  readonly target: Target;
  readonly format: RowFormat;
}

async function carry(
  context: Context,
  gpu: import("pushforward").Gpu,
  { model, source, solver, target, format }: Work,
  o: PushOptions,
) {
  const { Flow } = await import("pushforward");
  const { velocity } = model.options;
  const columns = o.columns ?? columnNames(model, velocity.dim);
  if (columns.length !== velocity.dim)
    throw new PushforwardError(
      "invalid-argument",
      `--columns names ${count(columns.length)}, but the flow has ${velocity.dim}: name as many`,
    );
  const isChosen = o.label !== undefined || o.context !== undefined;
  const others = isChosen ? [] : conditionColumns(model.conditions);
  const unitsAt = (time: number): DataUnits => (hasDataUnits(time, model.options, o) ? model.options : {});
  const [before, after] = [unitsAt(o.from), unitsAt(o.to)];
  // text holds the digits of f64, which rows need beside a large mean or near the end of a space
  const isText = format === "csv" && (after.normalization ?? after.transform) !== undefined;
  const flow = Flow.create(gpu, model.options);
  const counter = startCounter(context, "rows carried:");
  // what rows depend on stays beside them, so that they can be carried on and back
  const kept = format === "csv" ? others : [];
  const given: Float64Array[] = [];
  const rows = await openRows(context, target, [...columns, ...kept], format);
  let [nonFinite, unfinished, skipped, read] = [0, 0, 0, 0];
  const score = await scoreOn(gpu, o, model);
  async function* chunks() {
    const reading = { columns: [...columns, ...others], reader: "pushforward push <flow> -" };
    for await (const chunk of readCsvChunks(...tableInput(context, source, o, reading))) {
      skipped = chunk.skipped;
      if (chunk.rows === 0) continue;
      const { labels, context: inputs } = isChosen
        ? chosenConditions(o, model.conditions, velocity)
        : givenForSolve(
            givenOf(model.conditions, chunk.data, chunk.columns, velocity.classes),
            model.conditions,
            chunk.rows,
            o.shortcuts && 1 / o.shortcuts,
          );
      const named = takeColumns(chunk.data, chunk.columns, columns);
      const x = withNames(columns, () => rowsInFlow("push", "the table", named, before), read);
      read += chunk.rows;
      given.push(takeColumns(chunk.data, chunk.columns, kept));
      yield { x, ...(labels && { labels }), ...(inputs && { context: inputs }) };
    }
  }
  const { from, to, seed } = o;
  const call = {
    ...{ from, to, seed, solver, signal: context.signal, ...noiseOfCall(o, model, score) },
    ...(o.guidance !== undefined && { guidance: o.guidance }),
  };
  try {
    for await (const carried of flow.pushStream(chunks(), call)) {
      nonFinite += carried.nonFinite;
      unfinished += carried.unfinished ?? 0;
      for (const [i, word] of (carried.status ?? []).entries())
        if (word !== 0) carried.x.fill(Number.NaN, i * velocity.dim, (i + 1) * velocity.dim);
      const found = rowsOfData(carried.x, after);
      const data = isText ? found : Float32Array.from(found);
      const beside = given.shift();
      await rows.write([
        { data, width: velocity.dim, ...(isText && { normalization: digitsOf(after, velocity.dim) }) },
        ...(beside && kept.length > 0 ? [{ data: beside, width: kept.length }] : []),
      ]);
      counter.update(rows.count);
    }
    if (rows.count === 0)
      throw new PushforwardError(
        "format",
        `${source === "-" ? "the CSV" : shown(source)} has no rows${skipped > 0 ? ` besides ${count(skipped)} that were left out` : ""}, so there is nothing to carry: expected rows of numbers below the names`,
      );
    await rows.finish();
  } catch (error) {
    throw await rows.abandon(error);
  } finally {
    counter.stop();
    score?.dispose();
    flow.dispose();
  }
  return { rows: rows.count, nonFinite, unfinished, skipped };
}

/** Whether rows of a time are in the units of the data; else they are in the flow's own space. */
function hasDataUnits(time: number, { source }: FlowOptions, { units }: PushOptions): boolean {
  if (units !== "auto") return units === "data";
  return time === 1 || (source !== undefined && "samples" in source);
}
