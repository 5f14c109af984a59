import { Command } from "commander";
import { PushforwardError } from "../../src/errors.ts";
import { checkpointOptions, claimTraining } from "../checkpoint.ts";
import { fitColumns } from "../column-fit.ts";
import { besideOutput, type Context, Interrupted, PartialResult, printResult, withGpu } from "../context.ts";
import { readCsv } from "../csv.ts";
import { columnsOption, columnWord } from "../csv-shape.ts";
import { shown } from "../csv-text.ts";
import { heldOutFigures, heldOutText, scoreHeldOut } from "../held-out.ts";
import { saveModel } from "../model.ts";
import { count, duration, rowsText } from "../report.ts";
import { splitRows } from "../split.ts";
import { checkWidth, readStartingFlow, withStart } from "../starting-flow.ts";
import { settingsOf, type TrainOptions, withTrainingOptions } from "../training-options.ts";
import { lossText, runTraining } from "../training-run.ts";

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
  const command = new Command("train")
    .description("Train a flow on the rows of a CSV file by flow matching.")
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
      const scores = held.length > 0 ? await scoreHeldOut(context, flow, table.columns, held, o) : undefined;
      const result = {
        output: o.output,
        rows: { training: rows, heldOut: held.length / dim, skipped: table.skipped },
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
