import { Command, Option } from "commander";
import { type SolverOptions, solverOf, wholeNumber } from "../arguments.ts";
import { type Context, type GpuChoice, printResult, withGpu } from "../context.ts";
import { columnNames, readModel } from "../model.ts";
import { count, duration, startProgress } from "../report.ts";
import { openRows, type RowFormat } from "../row-output.ts";
import { options } from "./shared-options.ts";

interface SampleOptions extends GpuChoice, SolverOptions {
  count: number;
  output: string;
  format?: RowFormat;
  logProb: boolean;
  seed: number;
  json: boolean;
}

const examples = `
Equal seeds give equal rows on one adapter, whatever the count. Rows stream to the file in chunks, so any count takes
constant memory. The file gets its name when it is complete; after Ctrl-C the finished rows are in <file>.partial.

Examples:
  pushforward sample flow.safetensors --count 100000 -o samples.csv
  pushforward sample flow.safetensors --count 1000000 -o samples.bin --steps 20     f32, row-major, no header
  pushforward sample flow.safetensors --count 5 -o -                                to stdout
  pushforward sample flow.safetensors --count 1000 -o samples.csv --log-prob        one more column, in nats`;

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
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((model: string, o: SampleOptions) => sample(context, model, o));
}

async function sample(context: Context, path: string, o: SampleOptions): Promise<void> {
  const model = await readModel(path);
  await withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.load(gpu, model.bytes);
    const names = [...columnNames(model, flow.dim), ...(o.logProb ? ["log_prob"] : [])];
    const rows = await openRows(context, o.output, names, o.format);
    const progress = startProgress(context, "sampling", o.count);
    const started = performance.now();
    let nonFinite = 0;
    try {
      for await (const chunk of flow.sampleStream(o.count, {
        solver: solverOf(o),
        seed: o.seed,
        logProb: o.logProb,
        signal: context.signal,
      })) {
        nonFinite += chunk.nonFinite;
        await rows.write([
          { data: chunk.x, width: flow.dim },
          ...(chunk.logProb ? [{ data: chunk.logProb, width: 1 }] : []),
        ]);
        progress.update(rows.count);
      }
      progress.stop();
      await rows.finish();
    } catch (error) {
      progress.stop();
      throw await rows.abandon(error);
    } finally {
      flow.dispose();
    }
    const seconds = (performance.now() - started) / 1000;
    if (nonFinite > 0)
      context.stderr.write(`warning: ${count(nonFinite)} rows are not finite: the flow diverges there\n`);
    const result = { output: o.output, rows: rows.count, seconds, rowsPerSecond: rows.count / seconds, nonFinite };
    const text = `${count(rows.count)} rows in ${duration(seconds)} (${count(rows.count / seconds)} per second)`;
    if (o.output === "-") context.stderr.write(o.json ? `${JSON.stringify(result)}\n` : `${text}\n`);
    else printResult(context, o.json, result, [`wrote ${o.output}: ${text}`]);
  });
}
