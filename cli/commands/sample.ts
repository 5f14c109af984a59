import { Command, Option } from "commander";
import { loadFlow } from "../../src/flow/file.ts";
import { type SolverOptions, solverOf, wholeNumber } from "../arguments.ts";
import { besideOutput, type Context, type GpuChoice, printResult, withGpu } from "../context.ts";
import { columnNames, type ModelFile, readModel } from "../model.ts";
import { checkRoom, claimOutputs } from "../outputs.ts";
import { count, duration, startProgress } from "../report.ts";
import { formatOf, openRows, type RowFormat } from "../row-output.ts";
import type { Target } from "../targets.ts";
import { options } from "./shared-options.ts";

interface SampleOptions extends GpuChoice, SolverOptions {
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

Examples:
  pushforward sample flow.safetensors --count 100000 -o samples.csv
  pushforward sample flow.safetensors --count 1000000 -o samples.bin --steps 20     f32, row-major, no header
  pushforward sample flow.safetensors --count 5 -o -                                to stdout
  pushforward sample flow.safetensors --count 1000 -o samples.csv --log-prob        one more column, in nats
  pushforward sample flow.safetensors --count 1000000 -o samples.bin --cluster redis://localhost:6379
                                       by the workers that \`pushforward worker\` started there: the same rows`;

export function sampleCommand(context: Context): Command {
  return new Command("sample")
    .description("Draw rows from a trained flow.")
    .argument("<flow.safetensors>", "flow saved by train")
    .requiredOption("-n, --count <rows>", "how many rows", wholeNumber(1))
    .requiredOption("-o, --output <file>", "where they go; - for stdout")
    .addOption(
      new Option(
        "--format <kind>",
        "csv, or bin: little-endian f32; default: by the file's ending, csv on stdout",
      ).choices(["csv", "bin"]),
    )
    .option("--log-prob", "also write each row's log-probability as the last column log_prob", false)
    .addOption(options.method())
    .addOption(options.steps())
    .addOption(options.seed("of the draws"))
    .option("--cluster <url>", "let workers that are connected to this Redis do the work, as in redis://localhost:6379")
    .addOption(options.queue())
    .option("--range-size <rows>", "rows that a worker of a cluster gets at a time", wholeNumber(1))
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((model: string, o: SampleOptions) => sample(context, model, o));
}

/** Rows as they come, from this machine or from others. */
type Chunks = AsyncIterable<{ x: Float32Array; logProb?: Float32Array; nonFinite: number; adapter?: string }>;

async function sample(context: Context, path: string, o: SampleOptions): Promise<void> {
  const outputs = [{ name: "--output", path: o.output, binary: o.format === "bin" }];
  const [target] = (await claimOutputs(context, outputs, [{ name: "the flow", path }])) as [Target]; // One for the one.
  const model = await readModel(path);
  const call = { solver: solverOf(o), seed: o.seed, logProb: o.logProb, signal: context.signal };
  if (o.cluster !== undefined) {
    const { openCluster } = await import("pushforward/cluster");
    const onNotice = (text: string) => context.stderr.write(`${text}\n`);
    const cluster = await openCluster({ url: o.cluster, queue: o.queue, onNotice });
    try {
      const { velocity } = loadFlow(model.bytes);
      const spread = o.rangeSize === undefined ? call : { ...call, rangeSize: o.rangeSize };
      await write(context, o, target, model, velocity.dim, cluster.sampleStream(model.bytes, o.count, spread));
    } finally {
      await cluster.close();
    }
    return;
  }
  await withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.load(gpu, model.bytes);
    try {
      await write(context, o, target, model, flow.dim, flow.sampleStream(o.count, call));
    } finally {
      flow.dispose();
    }
  });
}

async function write(
  context: Context,
  o: SampleOptions,
  target: Target,
  model: ModelFile,
  dim: number,
  chunks: Chunks,
): Promise<void> {
  const names = [...columnNames(model, dim), ...(o.logProb ? ["log_prob"] : [])];
  const format = formatOf(target.path, o.format);
  // A number of a CSV has one digit and a comma at least.
  await checkRoom(target, o.count * names.length * (format === "bin" ? 4 : 2));
  const rows = await openRows(context, target, names, format);
  const progress = startProgress(context, "sampling", o.count);
  const started = performance.now();
  const adapters = new Set<string>();
  let nonFinite = 0;
  try {
    for await (const chunk of chunks) {
      nonFinite += chunk.nonFinite;
      if (chunk.adapter !== undefined) adapters.add(chunk.adapter);
      await rows.write([{ data: chunk.x, width: dim }, ...(chunk.logProb ? [{ data: chunk.logProb, width: 1 }] : [])]);
      progress.update(rows.count);
    }
    progress.stop();
    await rows.finish();
  } catch (error) {
    progress.stop();
    throw await rows.abandon(error);
  }
  const seconds = (performance.now() - started) / 1000;
  if (nonFinite > 0)
    context.stderr.write(`warning: ${count(nonFinite)} rows are not finite: the flow diverges there\n`);
  const result = {
    output: o.output,
    rows: rows.count,
    seconds,
    rowsPerSecond: rows.count / seconds,
    nonFinite,
    ...(adapters.size > 0 && { adapters: [...adapters] }),
  };
  const text = `${count(rows.count)} rows in ${duration(seconds)} (${count(rows.count / seconds)} per second)`;
  const line = target.kind === "stdout" ? text : `wrote ${o.output}: ${text}`;
  printResult(besideOutput(context, target), o.json, result, [line]);
}
