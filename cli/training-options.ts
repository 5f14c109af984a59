import { type Command, Option } from "commander";
import { largestBatch } from "../src/train/largest-batch.ts";
import { decimalWithin, nameList, timeEncoding, wholeNumber, widthList } from "./arguments.ts";
import type { CheckpointChoice } from "./checkpoint.ts";
import { options } from "./commands/shared-options.ts";
import type { GpuChoice } from "./context.ts";
import type { StartingFlow } from "./starting-flow.ts";
import { digest, type TrainingSettings, typed } from "./training-settings.ts";

/** What `train` is told by its options. */
export interface TrainOptions extends GpuChoice, CheckpointChoice {
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

/** Has the command take them. */
export function withTrainingOptions(command: Command): Command {
  return command
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
    .addOption(options.json());
}

/** What must be the same for a checkpoint to be gone on from, by the names that the command line has for it. */
export function settingsOf(
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
