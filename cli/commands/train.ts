import { Command } from "commander";
import type { FlowOptions } from "pushforward";
import { freeRows } from "../../src/data/transform-maps.ts";
import { must } from "../../src/must.ts";
import type { TrainableVelocity } from "../../src/velocity/field.ts";
import { checkpointOptions, claimTraining } from "../checkpoint.ts";
import { configText } from "../config-file.ts";
import {
  besideOutput,
  type Context,
  Interrupted,
  PartialResult,
  printResult,
  UsageError,
  withGpu,
} from "../context.ts";
import { flopsOfTraining, flopsText } from "../cost.ts";
import { heldOutFigures, heldOutText, scoreHeldOut } from "../held-out.ts";
import { conditionsMetadata, saveModel } from "../model.ts";
import { count, duration } from "../report.ts";
import { readStartingFlow } from "../starting-flow.ts";
import { readTrainingData, type TrainingData } from "../training-data.ts";
import { checkBelonging } from "../training-flags.ts";
import { settingsOf, type TrainOptions, typedSettings, withTrainingOptions } from "../training-options.ts";
import { lossText, runTraining } from "../training-run.ts";
import { typed } from "../training-settings.ts";
import { velocityOf } from "../velocity.ts";

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
  pushforward train places.csv -o sharp.safetensors --from flow.safetensors --objective discrete-likelihood --solver-steps 6
  pushforward train iris.csv -o iris.safetensors --labels species --columns length,width --label-dropout 0.1
  pushforward train sky.csv -o sky.safetensors --columns flux,size --context redshift --keep-best --patience 10
  pushforward train after.csv -o moved.safetensors --source before.csv --coupling optimal-transport
  pushforward train after.csv -o moved.safetensors --source before.csv --coupling paired     the same rows, before and after
  pushforward train patients.csv -o moved.safetensors --columns weight,pulse --source patients.csv \\
      --source-columns weight_before,pulse_before --coupling paired
  pushforward train places.csv -o quick.safetensors --shortcut 2     for sample --shortcuts 1, or 2, or 4
  pushforward train survey.csv -o flow.safetensors --transform interval:0:100,positive,none
  pushforward train places.csv -o flow.safetensors --config training.json     --print-config writes such a file
  cat table.csv | pushforward train - -o flow.safetensors --json`;

export function trainCommand(context: Context): Command {
  const command = new Command("train")
    .description("Train a flow on the rows of a CSV file, by flow matching or by maximum likelihood.")
    .argument("<data.csv>", "CSV file, or - for stdin")
    .requiredOption(
      "-o, --output <file>",
      "where the flow is saved (safetensors; PyTorch loads the weights as they are)",
    );
  return withTrainingOptions(command)
    .addHelpText("after", examples)
    .action((source: string, o: TrainOptions, command: Command) => train(context, source, o, command));
}

async function train(context: Context, source: string, o: TrainOptions, command: Command): Promise<void> {
  const { signal, stderr } = context;
  checkBelonging(command, o.from !== undefined);
  if (o.printConfig) {
    context.stdout.write(configText(command, typed));
    return;
  }
  checkHeldOut(o);
  checkPredict(o);
  checkSource(o);
  const targets = await claimTraining(context, source, o);
  const start = o.from === undefined ? undefined : await readStartingFlow(o.from, command);
  const data = await readTrainingData(context, source, o, start);
  const { columns, conditions, kept, held, table } = data;

  // to digest large data takes a while, and nobody asks for it without a checkpoint
  const settings = targets.checkpoint ? settingsOf(o, { ...table, columns, source: data.source }, start) : {};
  const notes = conditionsMetadata(conditions);
  const checkpoints = await checkpointOptions(context, targets.checkpoint, o, columns, settings, notes);
  const made = start?.options ?? (await newFlow(o, data));
  await withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.create(gpu, made);
    try {
      const origin = start ? `, from the weights of ${start.path},` : "";
      const device = gpu.info.description || gpu.info.vendor;
      const cost = flopsText(flopsOfTraining(made.velocity as TrainableVelocity, o));
      stderr.write(`training ${count(flow.parameterCount)} parameters${origin} on ${device}: ${cost}\n`);
      const training = await runTraining(context, flow, columns, kept, held, o, checkpoints);
      const rows = kept.data.length / flow.dim;
      const record = { options: typedSettings(o, columns, start), rows, steps: training.step };
      await saveModel(context, flow, targets.output, columns, conditions, record);
      if (signal.aborted) {
        throw new Interrupted(
          `stopped, at least ${count(training.step)} of ${count(o.steps)} steps done; the flow so far is in ${o.output}`,
        );
      }
      // where the source has no density, there is none at the end either, and a score is no flow's velocity
      const hasDensity = !(made.source && "samples" in made.source) && o.predict !== "score";
      const scores = held && hasDensity ? await scoreHeldOut(context, flow, columns, conditions, held, o) : undefined;
      const result = {
        output: o.output,
        rows: { training: rows, heldOut: (held?.data.length ?? 0) / flow.dim, skipped: table.skipped },
        parameters: flow.parameterCount,
        ...training,
        ...(scores && { heldOut: heldOutFigures(scores, o) }),
      };
      printResult(besideOutput(context, targets.output), o.json, result, [
        `saved ${o.output}: ${lossText(training)}${count(training.step)} steps in ${duration(training.seconds)}`,
        ...(scores ? heldOutText(scores, o) : []),
      ]);
      const lost = scores?.lost("held-out rows", "try a lower --learning-rate, or more --evaluation-steps");
      if (lost !== undefined) throw new PartialResult(lost);
    } finally {
      flow.dispose();
    }
  });
}

/** What is told before the table is read. */
function checkPredict({ predict, bridge }: TrainOptions): void {
  if (predict === "score" && bridge === undefined)
    throw new UsageError("--predict score is learned of bridges, but there is no --bridge: say its deviation");
}

function checkSource({ coupling, source, sourceColumns }: TrainOptions): void {
  if (source !== undefined) return;
  const asked =
    coupling === "paired" ? "--coupling paired pairs" : sourceColumns && "--source-columns names columns of";
  if (asked) throw new UsageError(`${asked} the rows of --source, but there is none: say the file`);
}

function checkHeldOut({ holdout, patience, keepBest }: TrainOptions): void {
  if (holdout === 0 && (patience !== undefined || keepBest))
    throw new UsageError(
      `--${keepBest ? "keep-best" : "patience"} is about the loss of held-out rows, but --holdout 0 keeps none: keep some`,
    );
}

/** The flow that the options describe, as it is before a training. */
async function newFlow(
  o: TrainOptions,
  { columns, conditions, normalization, transform, classes, source }: TrainingData,
): Promise<FlowOptions> {
  const { normalize } = await import("pushforward");
  const context = (conditions.context?.names.length ?? 0) + (conditions.shortcut ? 1 : 0);
  const free = (rows: Float64Array) => freeRows("--source", "the table", rows, transform);
  const velocity = await velocityOf(o, { dim: columns.length, classes, context }, transform);
  return {
    velocity,
    ...(normalization && { normalization }),
    ...(transform && { transform }),
    ...(source && { source: { samples: normalize(free(source), must(normalization, "the units of the columns")) } }),
    seed: o.seed,
  };
}
