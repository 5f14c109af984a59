import { Command, Option } from "commander";
import type { Solver } from "pushforward";
import type { Normalization } from "../../src/data/normalization.ts";
import { type SolverOptions, wholeNumber } from "../arguments.ts";
import { checkSingles } from "../column-fit.ts";
import { type ChosenConditions, chosenConditions } from "../conditions.ts";
import {
  besideOutput,
  type Context,
  type GpuChoice,
  PartialResult,
  printResult,
  UsageError,
  withGpu,
} from "../context.ts";
import { type RowFormat, rowFormatOf } from "../endings.ts";
import { columnNames, readModel } from "../model.ts";
import { type NoiseOptions, noiseInputs, noiseOfCall, noiseOptions, scoreFile, scoreOn } from "../noise.ts";
import { checkRoom, claimOutput } from "../outputs.ts";
import { count, duration, rowsText, startProgress } from "../report.ts";
import { openRows } from "../row-output.ts";
import { digitsOf } from "../rows.ts";
import { checkShortcuts, solverOfCall } from "../shortcuts.ts";
import type { Target } from "../targets.ts";
import { addOptions, groups, options } from "./shared-options.ts";

interface SampleOptions extends GpuChoice, SolverOptions, ChosenConditions, NoiseOptions {
  count: number;
  output: string;
  format?: RowFormat;
  logProb: boolean;
  seed: number;
  cluster?: string;
  queue: string;
  rangeSize?: number;
  json: boolean;
}

const examples = `
Equal seeds give equal rows on one adapter, whatever the count. Rows stream to the file in chunks, so any count takes
constant memory. The file gets its name when it is complete; after Ctrl-C the finished rows are in <file>.partial.
Rows that are not finite, or whose solve did not end (NaN), are counted and make the exit code 3.

Examples:
  pushforward sample flow.safetensors --count 100000 -o samples.csv
  pushforward sample flow.safetensors --count 1000000 -o samples.bin --steps 20     f32, row-major, no header
  pushforward sample flow.safetensors --count 5 -o -                                to stdout
  pushforward sample flow.safetensors --count 1000 -o samples.csv --log-prob        one more column, in nats
  pushforward sample iris.safetensors --count 100 --label 2 --guidance 1.5 -o third.csv
  pushforward sample flow.safetensors --count 1000 -o samples.csv --diffusion 1:0   paths with noise, the same densities
  pushforward sample flow.safetensors --count 1000000 -o samples.bin --cluster redis://localhost:6379
                                       by the workers that \`pushforward worker\` started there: the same rows`;

export function sampleCommand(context: Context): Command {
  return addOptions(
    new Command("sample")
      .description("Draw rows from a trained flow.")
      .argument("<flow.safetensors>", "flow saved by train")
      .requiredOption("-n, --count <rows>", "how many rows", wholeNumber(1, 1e12))
      .requiredOption("-o, --output <file>", "where they go; - for stdout")
      .addOption(options.format())
      .option("--log-prob", "also write each row's log-probability as the last column log_prob", false),
    ...groups.conditions(),
    ...groups.solver(),
    options.shortcuts(),
    ...noiseOptions(),
    options.seed("of the draws"),
    new Option(
      "--cluster <url>",
      "let workers that are connected to this Redis do the work, as in redis://localhost:6379",
    ),
    options.queue(),
    new Option("--range-size <rows>", "rows that a worker of a cluster gets at a time").argParser(wholeNumber(1)),
    options.software(),
    options.json(),
  )
    .addHelpText("after", examples)
    .action((model: string, o: SampleOptions, command: Command) => sample(context, model, o, solverOfCall(o, command)));
}

/** Rows as they come, from this machine or from others. */
type Chunks = AsyncIterable<{
  x: Float32Array | Float64Array;
  logProb?: Float32Array;
  nonFinite: number;
  unfinished?: number;
  status?: Uint8Array;
  adapter?: string;
}>;

async function sample(context: Context, path: string, o: SampleOptions, solver: Solver): Promise<void> {
  if (o.diffusion && o.logProb)
    throw new UsageError(
      "--log-prob tells densities along paths without noise, but --diffusion was given: leave one out; `pushforward log-prob` scores what was sampled",
    );
  const inputs = [{ name: "the flow", path }, ...noiseInputs(o)];
  const target = await claimOutput(context, o.output, o.format === "bin", inputs);
  const format = rowFormatOf(target, o.format);
  const model = await readModel(path);
  checkShortcuts(o, model);
  if (o.shortcuts !== undefined && o.logProb)
    throw new UsageError(
      "--log-prob is of the flow, but --shortcuts go by mean velocities, which have no density of their own: leave one out; `pushforward log-prob` scores what was sampled",
    );
  const flowOptions = model.options;
  const { velocity } = flowOptions;
  const columns = columnNames(model, velocity.dim);
  const units = digitsOf(flowOptions, columns.length);
  if (format !== "csv") checkSingles(target.path, columns, units, "write a CSV (--format csv)");
  const given = chosenConditions(o, model.conditions, velocity);
  const call = { ...given, solver, seed: o.seed, logProb: o.logProb, signal: context.signal };
  // Text holds the digits of f64, which a sample needs beside a large mean.
  const double = format === "csv" ? { ...call, output: "float64" as const } : undefined;
  const run = (chunks: Chunks) => write(context, o, target, { columns, units, format }, chunks);
  if (o.cluster !== undefined) {
    const score = (await scoreFile(o, model))?.bytes;
    const { openCluster } = await import("pushforward/cluster");
    const onNotice = (text: string) => context.stderr.write(`${text}\n`);
    const cluster = await openCluster({ url: o.cluster, queue: o.queue, onNotice });
    try {
      const spread = { ...noiseOfCall(o, model, score), ...(o.rangeSize !== undefined && { rangeSize: o.rangeSize }) };
      await run(
        double
          ? cluster.sampleStream(model.bytes, o.count, { ...double, ...spread })
          : cluster.sampleStream(model.bytes, o.count, { ...call, ...spread }),
      );
    } finally {
      await cluster.close();
    }
    return;
  }
  await withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.create(gpu, flowOptions);
    const score = await scoreOn(gpu, o, model);
    const noise = noiseOfCall(o, model, score);
    try {
      const all = { ...call, ...noise };
      await run(double ? flow.sampleStream(o.count, { ...double, ...noise }) : flow.sampleStream(o.count, all));
    } finally {
      score?.dispose();
      flow.dispose();
    }
  });
}

interface Written {
  columns: readonly string[];
  /** What tells the digits. */
  units: Normalization;
  format: RowFormat;
}

async function write(
  context: Context,
  o: SampleOptions,
  target: Target,
  { columns, units, format }: Written,
  chunks: Chunks,
): Promise<void> {
  const names = [...columns, ...(o.logProb ? ["log_prob"] : [])];
  const width = columns.length;
  // A number of a CSV has one digit and a comma at least.
  await checkRoom(target, o.count * names.length * (format === "bin" ? 4 : 2));
  const rows = await openRows(context, target, names, format);
  const progress = startProgress(context, "sampling", o.count);
  const started = performance.now();
  const adapters = new Set<string>();
  let nonFinite = 0;
  let unfinished = 0;
  try {
    for await (const { x, logProb, status, ...chunk } of chunks) {
      nonFinite += chunk.nonFinite;
      unfinished += chunk.unfinished ?? 0;
      if (chunk.adapter !== undefined) adapters.add(chunk.adapter);
      for (const [i, word] of (status ?? []).entries()) {
        // Where a solve stopped is no sample.
        if (word !== 0)
          for (const [values, size] of [
            [x, width],
            [logProb, 1],
          ] as const)
            values?.fill(Number.NaN, i * size, (i + 1) * size);
      }
      await rows.write([{ data: x, width, normalization: units }, ...(logProb ? [{ data: logProb, width: 1 }] : [])]);
      progress.update(rows.count);
    }
    progress.stop();
    await rows.finish();
  } catch (error) {
    progress.stop();
    throw await rows.abandon(error);
  }
  const seconds = (performance.now() - started) / 1000;
  const result = {
    output: o.output,
    rows: rows.count,
    seconds,
    rowsPerSecond: rows.count / seconds,
    nonFinite,
    unfinished,
    ...(adapters.size > 0 && { adapters: [...adapters] }),
  };
  const text = `${rowsText(rows.count)} in ${duration(seconds)} (${count(rows.count / seconds)} per second)`;
  const line = target.kind === "stdout" ? text : `wrote ${o.output}: ${text}`;
  printResult(besideOutput(context, target), o.json, result, [line]);
  const faults = [
    ...(nonFinite > 0 ? [`${of(nonFinite, o.count)} not finite: the flow diverges there, try more --steps`] : []),
    ...(unfinished > 0
      ? [
          `${of(unfinished, o.count)} NaN, as their solves did not end: allow more with --max-steps, or a larger --tolerance`,
        ]
      : []),
  ];
  if (faults.length > 0) throw new PartialResult(faults.join("; "));
}

function of(part: number, all: number): string {
  return `${count(part)} of ${count(all)} rows ${part === 1 ? "is" : "are"}`;
}
