import { type Command, Option } from "commander";
import { activations } from "../src/network/operations/activate.ts";
import { integer } from "../src/options/schema.ts";
import { pathNames } from "../src/path/names.ts";
import { flowMatchingFields, leastDeterminant, likelihoodFields, regularizationFields } from "../src/train/fields.ts";
import { largestBatch } from "../src/train/largest-batch.ts";
import { optimizerFields, optimizerNames, shortcutFields, validationFields } from "../src/train/later-fields.ts";
import { scheduleNames } from "../src/train/learning-rate.ts";
import { decimalWithin, nameList, timeEncoding, transformList, wholeNumber, widthList } from "./arguments.ts";
import { UsageError } from "./context.ts";
import { judged, numberList } from "./judged.ts";
import { fourierFeatures, initialWeights, noiseLevel, timeDistribution } from "./training-readers.ts";
import type { TrainingSettings } from "./training-settings.ts";

/**
 * The options of `train` that say what is learned, and how: one entry for each. Their values are judged by the schemas of the library,
 * checkpoints and --print-config hold them, --config takes them.
 */
export const fields = ["mlp", "residual", "concat-squash"] as const;
export const objectives = ["flow-matching", "likelihood", "discrete-likelihood"] as const;
export const couplings = ["independent", "optimal-transport", "sinkhorn", "paired"] as const;
export const rowOrders = ["independent", "shuffled"] as const;

/** An option that only goes with some values of another one. */
interface Condition {
  readonly on: "field" | "objective" | "coupling" | "optimizer";
  readonly values: readonly string[];
}

interface Flag {
  readonly option: Option;
  readonly only?: Condition;
}

const flag = (flags: string, text: string, read?: (text: string) => unknown, only?: Condition): Flag => {
  const option = new Option(flags, text);
  if (read) option.argParser(read);
  return { option, ...(only && { only }) };
};
const choice = (flags: string, text: string, words: readonly string[], only?: Condition): Flag => ({
  option: new Option(flags, text).choices(words),
  ...(only && { only }),
});
const first = ({ option, ...rest }: Flag, value: unknown): Flag => ({ option: option.default(value), ...rest });

const on = (name: Condition["on"], ...values: string[]): Condition => ({ on: name, values });
const matching = on("objective", "flow-matching");
const likelihood = on("objective", "likelihood", "discrete-likelihood");
const transport = on("coupling", "optimal-transport", "sinkhorn");

/** By the headings of the help. */
export const trainingFlags: Readonly<Record<string, readonly Flag[]>> = {
  "Data:": [
    flag("-c, --columns <names>", "columns to learn, with commas between; default: all", nameList),
    flag("--labels <column>", "column of classes, whole numbers from 0 on: the flow is of each class"),
    flag("--classes <count>", "how many classes there are; default: the largest label and one", judged(integer(1))),
    flag(
      "--context <names>",
      "columns of numbers that the flow depends on; they are brought to mean 0, deviation 1",
      nameList,
    ),
    flag("--row-weights <column>", "column of numbers of at least 0: rows count in proportion to them"),
    flag(
      "--source <data.csv>",
      "rows that the flow starts from, with the same columns: from data to data",
      undefined,
      matching,
    ),
    flag(
      "--source-columns <names>",
      "columns of --source, in the order of the columns that they become; default: the same names",
      nameList,
      matching,
    ),
    flag(
      "--transform <list>",
      "where the columns lie, in their order: none, positive, interval:LOW:HIGH, circular:PERIOD or circular:PERIOD:LOW, latitude (degrees), or simplex:COLUMNS for several (default: none)",
      transformList,
    ),
    flag(
      "--noise <level>",
      "added to rows anew each time: its deviation in units of the columns' own, or neighbours:F,K for F times the distance of the Kth neighbour",
      noiseLevel,
    ),
  ],
  "Network:": [
    first(choice("--field <kind>", "network of the velocity", fields), "mlp"),
    first(
      flag("--hidden <widths>", "widths of the hidden layers", widthList, on("field", "mlp", "concat-squash")),
      [64, 64, 64],
    ),
    flag(
      "--width <features>",
      "of a residual network (default: 64)",
      judged(integer(1, 1 << 14)),
      on("field", "residual"),
    ),
    flag("--blocks <count>", "of a residual network (default: 3)", judged(integer(1, 256)), on("field", "residual")),
    flag(
      "--features <count:scale>",
      "Fourier features of the state that join it: COUNT frequencies from a Gaussian of deviation SCALE",
      fourierFeatures,
      on("field", "mlp", "residual"),
    ),
    choice("--activation <name>", 'between layers (default: "silu"; concat-squash: "softplus")', activations),
    flag(
      "--time <encoding>",
      'how t enters: concat, or fourier:K for K frequencies (default: "concat"; residual: fourier:4)',
      timeEncoding,
      on("field", "mlp", "residual"),
    ),
    flag(
      "--initial <parts>",
      "how weights begin, as in first=1..30,hidden=2,output=0.1: frequencies of the first layer, factors of the others",
      initialWeights,
      on("field", "mlp"),
    ),
    flag("--freeze <names>", "tensors or layers that keep their weights, as in net.0,net.2.bias", nameList),
  ],
  "Objective:": [
    first(
      choice(
        "--objective <name>",
        "what is minimised; a discrete likelihood is that of the solver's own steps, for up to 3 columns",
        objectives,
      ),
      "flow-matching",
    ),
    first(
      choice(
        "--coupling <kind>",
        "how noise and rows are paired; paired: row by row, each row of --source with that of the data",
        couplings,
        matching,
      ),
      "independent",
    ),
    flag(
      "--group <samples>",
      "samples that are paired with each other: up to 1024 for optimal-transport, multiples of 32 for sinkhorn",
      judged(integer(2)),
      transport,
    ),
    flag("--reuse <times>", "how often a pair is used (default: 4)", judged(integer(1)), transport),
    flag(
      "--pool <pairs>",
      "pairs that are kept and drawn from; default: those of 32 groups, sinkhorn: 8",
      judged(integer(1)),
      transport,
    ),
    flag(
      "--context-weight <factor>",
      "how much distances of contexts count in a pair",
      judged(regularizationFields.kineticEnergy.check),
      transport,
    ),
    choice("--path <name>", `from noise to rows (default: "${pathNames[0]}")`, pathNames, matching),
    flag(
      "--time-distribution <kind>",
      'times that are trained at: uniform, stratified, logit-normal:MEAN,STD or beta:A,B (default: "uniform")',
      timeDistribution,
      matching,
    ),
    flag(
      "--bridge <deviation>",
      "Brownian bridges between the ends of pairs; with --coupling sinkhorn, Schrödinger bridges (default: none)",
      judged(flowMatchingFields.bridge.check),
      matching,
    ),
    choice(
      "--predict <kind>",
      'what is learned of --bridge: its velocity, or its score, for --score of sample and push (default: "velocity")',
      ["velocity", "score"],
      matching,
    ),
    flag(
      "--shortcut <every>",
      "few steps, for --shortcuts of sample and push: one of so many samples, as in 2, learns to go in one step as far as in two of half of it",
      judged(shortcutFields.every.check),
      matching,
    ),
    flag(
      "--label-dropout <share>",
      "samples without their label, for guidance",
      judged(flowMatchingFields.labelDropout.check),
      matching,
    ),
    flag(
      "--context-dropout <share>",
      "samples without their context, for guidance",
      judged(flowMatchingFields.contextDropout.check),
      matching,
    ),
    choice(
      "--solver-method <name>",
      'of the likelihood (default: "midpoint")',
      ["euler", "midpoint", "heun2", "heun3", "rk4"],
      likelihood,
    ),
    flag("--solver-steps <count>", "of the likelihood (default: 10)", judged(integer(1, 1_000_000)), likelihood),
    flag(
      "--warp <power>",
      "of the solver's times: above 1 steps shorten towards the data (default: 1)",
      decimalWithin(0.1, 10),
      likelihood,
    ),
    flag(
      "--jitter <part>",
      "of a step by which the solver's times move anew at each step",
      judged(likelihoodFields.jitter.check),
      likelihood,
    ),
    flag(
      "--least-determinant <number>",
      "below which a step's determinant gains nothing more, so that no step folds (default: 0.1)",
      judged(leastDeterminant),
      on("objective", "discrete-likelihood"),
    ),
    flag(
      "--probes <count>",
      "random probes of the divergence; default: exact up to 16 columns",
      judged(integer(1)),
      on("objective", "likelihood"),
    ),
    flag(
      "--kinetic-energy <factor>",
      "penalty on the length of trajectories",
      judged(regularizationFields.kineticEnergy.check),
      likelihood,
    ),
    flag(
      "--jacobian-frobenius <factor>",
      "penalty on the velocity's Jacobian",
      judged(regularizationFields.jacobianFrobenius.check),
      likelihood,
    ),
  ],
  "Optimiser:": [
    first(flag("--steps <count>", "training steps", wholeNumber(1, 1e9)), 5000),
    first(flag("--batch-size <rows>", "rows per step", wholeNumber(1, largestBatch)), 512),
    choice(
      "--row-order <kind>",
      'shuffled: each pass over the data has every row once (default: "independent")',
      rowOrders,
    ),
    flag(
      "--accumulate <parts>",
      "parts in which a batch is computed, one after the other, for less memory",
      judged(integer(1)),
    ),
    first(
      choice(
        "--optimizer <name>",
        "Muon is for the matrices between hidden layers, AdamW for the rest",
        optimizerNames,
      ),
      "adam",
    ),
    flag("--betas <pair>", "of Adam (default: 0.9,0.999)", numberList("0.9,0.999", 2)),
    flag("--epsilon <number>", "of Adam (default: 1e-8)", judged(optimizerFields.epsilon.check)),
    flag(
      "--weight-decay <rate>",
      "of AdamW (default: 0.01)",
      judged(optimizerFields.weightDecay.check),
      on("optimizer", "adamw", "muon"),
    ),
    flag(
      "--momentum <share>",
      "of Muon (default: 0.95)",
      judged(optimizerFields.momentum.check),
      on("optimizer", "muon"),
    ),
    flag(
      "--matrix-rate <factor>",
      "Muon's learning rate over --learning-rate (default: 20)",
      judged(optimizerFields.matrixRate.check),
      on("optimizer", "muon"),
    ),
    first(flag("--learning-rate <rate>", "peak of the learning rate", decimalWithin(0, 10, "(]")), 2e-3),
    first(choice("--schedule <name>", "how the learning rate falls from its peak", scheduleNames), "cosine"),
    first(flag("--warmup <share>", "share of the steps in which the learning rate rises", decimalWithin(0, 1)), 0.02),
    flag("--final-rate <rate>", "learning rate after the last step (default: 0)", decimalWithin(0, 10)),
    first(
      flag(
        "--ema <decay>",
        "the saved weights are a moving average with this decay; 0 turns it off",
        decimalWithin(0, 0.9999999),
      ),
      0.999,
    ),
    flag(
      "--gradient-clip <norm>",
      "largest norm of a step's gradient; longer ones are scaled down; default: none",
      decimalWithin(1e-30, 1e38),
    ),
  ],
  "Held-out rows:": [
    first(
      flag("--holdout <share>", "share of the rows kept for the final log-likelihood", decimalWithin(0, 1, "[)")),
      0.1,
    ),
    flag("--validate-every <steps>", "training steps between two looks at held-out rows", judged(integer(1))),
    flag(
      "--patience <looks>",
      "the training ends after so many looks without a smaller loss of held-out rows",
      judged(validationFields.patience.check),
    ),
    flag("--keep-best", "the saved weights are those of the smallest loss of held-out rows"),
  ],
};

/** Throws where an option was given, on the command line or in a file of --config, that does not go with another's value. */
export function checkBelonging(command: Command, velocityIsGiven: boolean): void {
  for (const { option, only } of Object.values(trainingFlags).flat()) {
    if (!only || !["cli", "config"].includes(command.getOptionValueSource(option.attributeName()) ?? "")) continue;
    // the network of --from is not chosen here; what that means for its options is said where it is read
    if (only.on === "field" && velocityIsGiven) continue;
    const value: string = command.getOptionValue(only.on);
    if (only.values.includes(value)) continue;
    throw new UsageError(
      `${option.long} is for --${only.on} ${orList(only.values)}, but --${only.on} is ${value}: leave it out, or choose that`,
    );
  }
}

/** Of the options of a training those that others of it let count: a residual network heeds no --hidden, whose default stands there. */
export function heeded(settings: Readonly<TrainingSettings>): TrainingSettings {
  const all = Object.values(trainingFlags).flat();
  const isHeeded = (name: string) => {
    const only = all.find(({ option }) => option.long === name)?.only;
    const value = only && settings[`--${only.on}`];
    return value === undefined || only?.values.includes(value);
  };
  return Object.fromEntries(Object.entries(settings).filter(([name]) => isHeeded(name)));
}

/** "a", "a or b", "a, b or c". */
function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
