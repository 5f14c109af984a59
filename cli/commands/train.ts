import { Command, Option } from "commander";
import type { Flow, Solver } from "pushforward";
import { PushforwardError } from "../../src/errors.ts";
import { largestBatch } from "../../src/train/largest-batch.ts";
import { decimalWithin, nameList, solverOf, timeEncoding, wholeNumber, widthList } from "../arguments.ts";
import { type CheckpointChoice, checkpointOptions, claimTraining } from "../checkpoint.ts";
import { fitColumns } from "../column-fit.ts";
import {
  besideOutput,
  type Context,
  type GpuChoice,
  Interrupted,
  PartialResult,
  printResult,
  withGpu,
} from "../context.ts";
import { readCsv } from "../csv.ts";
import { columnsOption, columnWord } from "../csv-shape.ts";
import { shown } from "../csv-text.ts";
import { cosineWithWarmup } from "../learning-rate.ts";
import { saveModel } from "../model.ts";
import { count, duration, rowsText, startProgress } from "../report.ts";
import { Scores } from "../scores.ts";
import { splitRows } from "../split.ts";
import { checkWidth, readStartingFlow, type StartingFlow, withStart } from "../starting-flow.ts";
import { digest, type TrainingSettings, typed } from "../training-settings.ts";
import { withColumnNames } from "../wording.ts";
import { options } from "./shared-options.ts";

interface TrainOptions extends GpuChoice, CheckpointChoice {
  columns?: string[];
  hidden: number[];
  activation: "silu" | "tanh" | "softplus" | "gelu" | "elu" | "relu" | "sin";
  time: "concat" | { fourier: number };
  steps: number;
  batchSize: number;
  learningRate: number;
  warmup: number;
  ema: number;
  gradientClip?: number;
  coupling: "independent" | "optimal-transport";
  holdout: number;
  evaluationSteps: number;
  seed: number;
  delimiter: string;
  header?: boolean;
  skipInvalid: boolean;
  json: boolean;
}

const examples = `
The rows are shuffled by the seed and split into a training part and a held-out part; mean and scale of each column are
fitted on the training part. At the end the held-out part's log-likelihood is printed in nats per row, in the units of
the data, solved with N and with 2N steps: when the two differ by more than their standard error, use more steps. Held-out rows
without a finite log-likelihood, such as outliers, are counted, not in the mean, and make the exit code 3.
While it trains, the loss of held-out rows is shown beside that of the batches: when it rises, the flow learns rows by heart.
Ctrl-C stops at once and saves the flow as trained so far. With --checkpoint a training that was cut off, by whatever it was,
goes on from its last checkpoint: the same command with --resume ends with the same bits as if nothing had happened.

Examples:
  pushforward train places.csv --columns longitude,latitude -o flow.safetensors
  pushforward train places.csv --columns longitude,latitude -o flow.safetensors \\
      --hidden 128,128,128 --time fourier:4 --steps 20000 --learning-rate 2e-3
  pushforward train table.csv -o flow.safetensors --skip-invalid     all columns, incomplete rows left out
  pushforward train places.csv -o flow.safetensors --checkpoint state.safetensors --resume
  pushforward train places.csv -o longer.safetensors --from flow.safetensors     a new training from trained weights
  cat table.csv | pushforward train - -o flow.safetensors --json`;

export function trainCommand(context: Context): Command {
  return new Command("train")
    .description("Train a flow on the rows of a CSV file by flow matching.")
    .argument("<data.csv>", "CSV file, or - for stdin")
    .requiredOption(
      "-o, --output <file>",
      "where the flow is saved (safetensors; PyTorch loads the weights as they are)",
    )
    .option("-c, --columns <names>", "columns to learn, with commas between; default: all", nameList)
    .option(
      "--from <flow.safetensors>",
      "start from the weights of this flow, or of a checkpoint; network, normalization and columns are its own",
    )
    .option("--hidden <widths>", "widths of the hidden layers", widthList, [64, 64, 64])
    .addOption(
      new Option("--activation <name>", "between layers")
        .choices(["silu", "tanh", "softplus", "gelu", "elu", "relu", "sin"])
        .default("silu"),
    )
    .addOption(
      new Option("--time <encoding>", "how t enters: concat, or fourier:K for K frequencies")
        .argParser(timeEncoding)
        .default("concat"),
    )
    .option("--steps <count>", "training steps", wholeNumber(1, 1e9), 5000)
    .option("--batch-size <rows>", "rows per step", wholeNumber(1, largestBatch), 512)
    .option(
      "--learning-rate <rate>",
      "peak of the learning rate; it decays to 0 along a cosine",
      decimalWithin(0, 10, "(]"),
      2e-3,
    )
    .option("--warmup <share>", "share of the steps in which the learning rate rises", decimalWithin(0, 1), 0.02)
    .option(
      "--ema <decay>",
      "the saved weights are a moving average with this decay; 0 turns it off",
      decimalWithin(0, 0.9999999),
      0.999,
    )
    .option(
      "--gradient-clip <norm>",
      "largest norm of a step's gradient; longer ones are scaled down; default: none",
      decimalWithin(1e-30, 1e38),
    )
    .addOption(
      new Option("--coupling <kind>", "how noise and rows are paired in a batch")
        .choices(["independent", "optimal-transport"])
        .default("independent"),
    )
    .option("--holdout <share>", "share of the rows kept for the final log-likelihood", decimalWithin(0, 1, "[)"), 0.1)
    .option(
      "--evaluation-steps <count>",
      "N, the solver steps of the final log-likelihood",
      wholeNumber(1, 500_000),
      20,
    )
    .option("--checkpoint <file>", "where the state of the training is kept, as a flow's file with more in it")
    .option("--checkpoint-every <steps>", "training steps between two checkpoints", wholeNumber(1, 1e9), 500)
    .option("--resume", "go on from the file of --checkpoint where it is there; all else must be as it was", false)
    .addOption(options.seed("of the split, the initial weights and the batches"))
    .addOption(options.skipInvalid())
    .addOption(options.header())
    .addOption(options.noHeader())
    .addOption(options.delimiter())
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((source: string, o: TrainOptions, command: Command) => train(context, source, o, command));
}

async function train(context: Context, source: string, o: TrainOptions, command: Command): Promise<void> {
  const { signal, stderr } = context;
  const targets = await claimTraining(context, source, o);
  const start = o.from === undefined ? undefined : await readStartingFlow(o.from, command);
  const columns = o.columns ?? start?.columns;
  const table = await readCsv(source === "-" ? (context.stdin as never) : source, {
    ...(columns && { columns }),
    delimiter: o.delimiter,
    header: o.header,
    reader: "pushforward train -",
    needs: { rows: 2, spread: true },
    skipInvalid: o.skipInvalid,
    signal,
  }).catch((error) => {
    throw start && o.columns === undefined ? withStart(error, start) : error;
  });
  const dim = table.columns.length;
  const { kept, held } = splitRows(table.data, dim, o.holdout, o.seed);
  const rows = kept.length / dim;
  const name = source === "-" ? "the CSV" : source;
  if (rows < 2) throw tooFewRows(name, table, rows);
  if (start) checkWidth(name, table.columns, start);
  const normalization = start ? start.options.normalization : fitColumns(name, table.columns, kept, held);
  stderr.write(`${count(table.rows)} rows of ${table.columns.map(columnWord).join(", ")}`);
  stderr.write(
    table.skipped > 0 ? `, ${rowsText(table.skipped, "incomplete")} left out (${table.survey.reasons()})\n` : "\n",
  );
  const { labels } = table.survey;
  if (columns === undefined && labels.length > 0) {
    const others = table.columns.filter((column) => !labels.includes(column));
    const what = labels.length === 1 ? "only numbers" : "only number";
    stderr.write(
      `note: ${labels.map(shown).join(", ")} ${what} rows or things; to leave ${labels.length === 1 ? "it" : "them"} out: ${columnsOption(others)}\n`,
    );
  }

  // to digest large data takes a while, and nobody asks for it without a checkpoint
  const settings = targets.checkpoint ? settingsOf(o, table, start) : {};
  const checkpoints = await checkpointOptions(context, targets.checkpoint, o, table.columns, settings);
  await withGpu(o, async (gpu) => {
    const { Flow, mlp } = await import("pushforward");
    const { hidden, activation, time } = o;
    const made = { velocity: mlp({ dim, hidden, activation, time }), ...(normalization && { normalization }) };
    const flow = Flow.create(gpu, start?.options ?? { ...made, seed: o.seed });
    try {
      const origin = start ? `, from the weights of ${start.path},` : "";
      const device = gpu.info.description || gpu.info.vendor;
      stderr.write(`training ${count(flow.parameterCount)} parameters${origin} on ${device}\n`);
      const training = await runTraining(context, flow, table.columns, kept, held, o, checkpoints);
      await saveModel(context, flow, targets.output, table.columns);
      if (signal.aborted) {
        throw new Interrupted(
          `stopped, at least ${count(training.step)} of ${count(o.steps)} steps done; the flow so far is in ${o.output}`,
        );
      }
      const scores = held.length > 0 ? await evaluate(context, flow, table.columns, held, o) : undefined;
      const result = {
        output: o.output,
        rows: { training: rows, heldOut: held.length / dim, skipped: table.skipped },
        parameters: flow.parameterCount,
        ...training,
        ...(scores && { heldOut: heldOutFigures(scores, o) }),
      };
      printResult(besideOutput(context, targets.output), o.json, result, [
        `saved ${o.output}: ${lossText(training)}${count(training.step)} steps in ${duration(training.seconds)}`,
        ...(scores ? describe(scores, o) : []),
      ]);
      const lost = scores?.lost("held-out rows", "try a lower --learning-rate, or more --evaluation-steps");
      if (lost !== undefined) throw new PartialResult(lost);
    } finally {
      flow.dispose();
    }
  });
}

/** What must be the same for a checkpoint to be gone on from, by the names that the command line has for it. */
function settingsOf(
  o: TrainOptions,
  { data, columns }: { data: Float64Array; columns: readonly string[] },
  start: StartingFlow | undefined,
): TrainingSettings {
  const { hidden, activation, time } = start?.velocity.kind === "mlp" ? start.velocity : o;
  const all = {
    "--columns": columns.join(),
    "--from": start && digest(start.bytes),
    "--hidden": hidden,
    "--activation": activation,
    "--time": time,
    "--steps": o.steps,
    "--batch-size": o.batchSize,
    "--learning-rate": o.learningRate,
    "--warmup": o.warmup,
    "--ema": o.ema,
    "--gradient-clip": o.gradientClip,
    "--coupling": o.coupling,
    "--holdout": o.holdout,
    "--seed": o.seed,
    "the data": digest(data),
  };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, typed(value)]));
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

interface TrainingSummary {
  step: number;
  /** Mean over the last tenth of the logged losses, since one batch's loss is noisy; none when no step was left to do. */
  loss?: number;
  /** Of the held-out rows, with the weights that are saved. */
  validationLoss?: number;
  seconds: number;
}

async function runTraining(
  context: Context,
  flow: Flow,
  columns: readonly string[],
  data: Float64Array,
  held: Float64Array,
  o: TrainOptions,
  checkpoints: Awaited<ReturnType<typeof checkpointOptions>>,
): Promise<TrainingSummary> {
  const { trainFlowMatching } = await import("pushforward");
  const progress = startProgress(context, "training", o.steps);
  const started = performance.now();
  const losses: number[] = [];
  let step = 0;
  let validationLoss: number | undefined;
  // Often enough that Ctrl-C can say how far it came.
  const logEvery = Math.min(50, Math.max(1, Math.floor(o.steps / 200)));
  try {
    for await (const report of trainFlowMatching(flow, data, {
      steps: o.steps,
      batchSize: o.batchSize,
      learningRate: cosineWithWarmup(o.learningRate, o.steps, Math.round(o.warmup * o.steps)),
      coupling: o.coupling,
      ...(o.ema > 0 && { ema: o.ema }),
      ...(o.gradientClip !== undefined && { gradientClip: o.gradientClip }),
      seed: o.seed,
      logEvery,
      ...(held.length > 0 && {
        validation: { data: held, every: 10 * logEvery, samples: Math.min(4096, held.length / flow.dim) },
      }),
      ...checkpoints,
      signal: context.signal,
    })) {
      step = report.step;
      losses.push(report.loss);
      validationLoss = report.validationLoss ?? validationLoss;
      const onHeldOut = validationLoss === undefined ? "" : ` · held-out ${lossOf(validationLoss)}`;
      progress.update(step, `loss ${report.loss.toFixed(4)}${onHeldOut}`);
    }
    // A checkpoint may be one of the last step: then there was none left to tell of.
    step = o.steps;
  } catch (error) {
    // Ctrl-C: the caller saves what was learned. Everything else is a fault.
    if (!context.signal.aborted) throw withColumnNames(error, columns);
  } finally {
    progress.stop();
  }
  const last = losses.slice(-Math.ceil(losses.length / 10));
  return {
    step,
    ...(last.length > 0 && { loss: last.reduce((sum, loss) => sum + loss, 0) / last.length }),
    ...(validationLoss !== undefined && { validationLoss }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** A loss of a few rows far away may be beyond f32. */
function lossOf(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : "not finite (some are too far from the others)";
}

function lossText({ loss, validationLoss }: TrainingSummary): string {
  if (loss === undefined) return "";
  const onHeldOut = validationLoss === undefined ? "" : `, of held-out rows ${lossOf(validationLoss)},`;
  return `loss ${loss.toFixed(4)}${onHeldOut} after `;
}

async function evaluate(
  { signal }: Context,
  flow: Flow,
  columns: readonly string[],
  held: Float64Array,
  { evaluationSteps }: TrainOptions,
): Promise<Scores> {
  const scores = new Scores(columns);
  const [single, double] = [1, 2].map((factor) => solverOf({ method: "midpoint", steps: evaluationSteps }, factor));
  const scored = await flow.logProb(held, { solver: single as Solver, signal });
  scores.add(held, scored, await flow.logProb(held, { solver: double as Solver, signal }));
  return scores;
}

function heldOutFigures({ figures: { mean, ...rest }, change }: Scores, { evaluationSteps: steps }: TrainOptions) {
  const { unfinished: _, ...figures } = rest;
  return { logLikelihood: mean, ...figures, steps, changeWithTwiceTheSteps: change.mean };
}

function describe(scores: Scores, { evaluationSteps: steps }: TrainOptions): string[] {
  const { count: finite } = scores.mean;
  const rows = finite === scores.rows ? "" : ` over ${count(finite)} of ${count(scores.rows)} rows`;
  return [
    `held-out log-likelihood ${scores.text}${finite > 0 ? ` per row${rows} (midpoint, ${steps} steps)` : ""}`,
    ...(finite > 0 ? [`with ${2 * steps} steps it changes by ${scores.changeText}`] : []),
  ];
}
