import type { Command } from "commander";
import type {
  Activation,
  LearningRateSchedule,
  MlpInitial,
  NeighbourNoise,
  TimeDistribution,
  Transform,
} from "pushforward";
import type { PathName } from "../src/path/names.ts";
import type { optimizerNames } from "../src/train/later-fields.ts";
import { wholeNumber } from "./arguments.ts";
import type { CheckpointChoice } from "./checkpoint.ts";
import { addOptions, groups, options } from "./commands/shared-options.ts";
import { readConfig } from "./config-file.ts";
import type { GpuChoice } from "./context.ts";
import type { StartingFlow } from "./starting-flow.ts";
import type { TableOptions } from "./table-input.ts";
import { type couplings, type fields, type objectives, type rowOrders, trainingFlags } from "./training-flags.ts";
import { digest, type TrainingSettings, typed } from "./training-settings.ts";

/** What `train` is told by its options; see {@link trainingFlags}. */
export interface TrainOptions extends GpuChoice, CheckpointChoice, TableOptions {
  columns?: string[];
  labels?: string;
  classes?: number;
  context?: string[];
  rowWeights?: string;
  source?: string;
  sourceColumns?: string[];
  transform?: Transform;
  noise?: number | NeighbourNoise;
  field: (typeof fields)[number];
  hidden: number[];
  width?: number;
  blocks?: number;
  features?: { count: number; scale?: number; seed?: number };
  activation?: Activation;
  time?: "concat" | { fourier: number };
  initial?: MlpInitial;
  freeze?: string[];
  objective: (typeof objectives)[number];
  coupling: (typeof couplings)[number];
  group?: number;
  reuse?: number;
  pool?: number;
  contextWeight?: number;
  path?: PathName;
  bridge?: number;
  predict?: "velocity" | "score";
  shortcut?: number;
  timeDistribution?: Exclude<TimeDistribution, (u: number) => number>;
  labelDropout?: number;
  contextDropout?: number;
  solverMethod?: "euler" | "midpoint" | "heun2" | "heun3" | "rk4";
  solverSteps?: number;
  warp?: number;
  jitter?: number;
  leastDeterminant?: number;
  probes?: number;
  kineticEnergy?: number;
  jacobianFrobenius?: number;
  steps: number;
  batchSize: number;
  rowOrder?: (typeof rowOrders)[number];
  accumulate?: number;
  optimizer: (typeof optimizerNames)[number];
  betas?: [number, number];
  epsilon?: number;
  weightDecay?: number;
  momentum?: number;
  matrixRate?: number;
  learningRate: number;
  schedule: LearningRateSchedule["schedule"];
  warmup: number;
  finalRate?: number;
  ema: number;
  gradientClip?: number;
  holdout: number;
  validateEvery?: number;
  patience?: number;
  keepBest?: boolean;
  evaluationSteps: number;
  seed: number;
  printConfig: boolean;
  json: boolean;
}

/** Has the command take them. */
export function withTrainingOptions(command: Command): Command {
  command
    .optionsGroup("Files:")
    .option(
      "--from <flow.safetensors>",
      "start from the weights of this flow, or of a checkpoint; network, normalization and columns are its own",
    );
  for (const [heading, flags] of Object.entries(trainingFlags)) {
    command.optionsGroup(heading);
    addOptions(command, ...flags.map(({ option }) => option));
  }
  command
    .option(
      "--evaluation-steps <count>",
      "N, the solver steps of the final log-likelihood",
      wholeNumber(1, 500_000),
      20,
    )
    .optionsGroup("Going on:")
    .option("--checkpoint <file>", "where the state of the training is kept, as a flow's file with more in it")
    .option("--checkpoint-every <steps>", "training steps between two checkpoints", wholeNumber(1, 1e9), 500)
    .option("--resume", "go on from the file of --checkpoint where it is there; all else must be as it was", false)
    .optionsGroup("Files:")
    .option("--config <file.json>", "options as JSON, by their names without the dashes; the command line wins")
    .option("--print-config", "print all options as such a file, and do nothing else", false)
    .optionsGroup("Options:");
  addOptions(
    command,
    options.seed("of the split, the initial weights and the batches"),
    ...groups.table(),
    options.software(),
    options.json(),
  );
  return command.on("option:config", (path: string) => readConfig(path, command));
}

/** The defaults that depend on the network. */
const shapes = {
  mlp: { time: "concat", activation: "silu" },
  residual: { time: { fourier: 4 }, activation: "silu" },
  "concat-squash": { time: "concat", activation: "softplus" },
} as const;

/** By the names of the command line: all that decides what is learned, but for the data. */
export function typedSettings(
  o: TrainOptions,
  columns: readonly string[],
  start: StartingFlow | undefined,
): TrainingSettings {
  const own = {
    ...o,
    ...shapes[o.field],
    ...(o.time && { time: o.time }),
    ...(o.activation && { activation: o.activation }),
  };
  const { hidden, activation, time } = start?.velocity.kind === "mlp" ? start.velocity : own;
  const values: Record<string, unknown> = { ...own, columns, hidden, activation, time };
  // a network of --from that is no mlp has its shape in its file alone
  const unsaid = start && start.velocity.kind !== "mlp" ? ["--field", "--hidden", "--activation", "--time"] : [];
  const settings = Object.values(trainingFlags)
    .flat()
    .filter(({ option }) => !unsaid.includes(option.long as string))
    // where a training looks at held-out rows decides nothing by itself
    .filter(({ option }) => option.long !== "--source" && option.long !== "--validate-every")
    .map(({ option }) => [option.long as string, typed(values[option.attributeName()])]);
  return Object.fromEntries([...settings, ["--seed", typed(o.seed)]]);
}

/** What must be the same for a checkpoint to be gone on from, by the names that the command line has for it. */
export function settingsOf(
  o: TrainOptions,
  { data, columns, source }: { data: Float64Array; columns: readonly string[]; source?: Float64Array | undefined },
  start: StartingFlow | undefined,
): TrainingSettings {
  return {
    ...typedSettings(o, columns, start),
    "--from": start ? digest(start.bytes) : "none",
    "--source": source ? digest(source) : "none",
    "the data": digest(data),
  };
}
