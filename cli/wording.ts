import { PushforwardError } from "../src/errors.ts";
import { shown } from "./csv-text.ts";
import { trainingFlags } from "./training-flags.ts";

/** Functions of the library that commands call: who uses the command line need not know them. */
const callee =
  /^(mlp|residualMlp|concatSquash|Flow\.\w+|train(FlowMatching|MaximumLikelihood)|sample(Stream)?|push(Stream)?|logProb(Stream)?|meanLogProb|fitNormalization|wasserstein2|slicedWasserstein|energyDistance|mmd|c2st|openGpu|openCluster|runWorker)(\(\))?: /;

/** What the library advises, and what is the same for who stands at a command line; the commands that the advice is for. */
const advice: readonly (readonly [RegExp, string | ((command: string) => string)])[] = [
  [
    /lower the learning rate \(([^)]*)\) or set gradientClip/,
    "lower --learning-rate (it was $1 there) or set --gradient-clip",
  ],
  [
    /accumulate: \d+ computes the same in parts of .*; or pass a batchSize of at most (\d+)/,
    "pass --batch-size $1 or less",
  ],
  [/pass for example batchSize: (\d+)/, "pass for example --batch-size $1"],
  [/^optimizer "muon" is for (.*): use "adamw"$/, "--optimizer muon is for $1: use --optimizer adamw"],
  // it is not saved
  [/; the flow has (the|its) weights [^;]*$/, ""],
  [/, or give the flow normalization: fitNormalization\(data, dim\)( of these data)?/, ""],
  [/pass software: "allow"/, "use --software allow"],
  [/pass fewer rows at a time \([^)]*\) or a smaller network/, lessMemory],
  [/pass a smaller chunkSize or (memoryBudget|batchSize)|pass a smaller chunkSize/, lessMemory],
  [/pass (\{ velocity: .*\} to Flow\.load|the velocity that the .*weights belong to)/, ownFile],
  [/(say which with|if these are the same layers in the same order, pass|To load it, pass) \{ tensors: .*/, ownFile],
  [/load it from a file or a checkpoint, or call setWeights/, "go on from its --checkpoint with --resume"],
  [
    /train on a random part of them, or on one part after another by calls of fewer steps/,
    "train on a random part of them (shuf -n)",
  ],
  [
    /^resume has no metadata field .* so it is no checkpoint: .*/,
    "the file of --checkpoint is no checkpoint, so --resume cannot go on from it: give one that --checkpoint wrote; to start from the weights of a flow, use --from",
  ],
  [/^resume is damaged, (.*): use an older checkpoint/, "the checkpoint is damaged, $1: start anew without --resume"],
  [
    /^resume is a checkpoint of another training: (.*)\. Resume with what .*/,
    "--resume goes on with another training: $1. Give the options and the data of then, or start a new training from its weights: --from with the checkpoint, without --resume",
  ],
  [/^resume is a checkpoint of version/, "the file of --checkpoint is of version"],
  [
    /^resume has done (\d+) steps, but steps is (\d+): .*/,
    "the checkpoint has done $1 steps, but --steps is $2: --steps counts from the very start, so give at least $1",
  ],
  [
    /(logProb|meanLogProb|densityGrid) needs log p of the source, but this flow's source is samples, which have no density: .*/,
    "this flow starts from rows, those of --source when it was trained, which have no density, and so there is no log p of it: train a flow from noise for that, or carry rows along this one with `pushforward push`",
  ],
  [
    /pass sde\.score, a flow that was trained with predict: "score"/,
    "name one with --score, a flow that was trained with the same options and --predict score",
  ],
  [
    /^guidance (is \S+), but there are no labels to guide towards: pass labels too/,
    "--guidance $1, but there are no labels to guide towards: name a class with --label, or leave it out",
  ],
  [/pass another queue name/, "choose another --queue"],
  [/(see whether it runs, then )call again|call it again/, "$1run the same command again"],
  [/ \(from 0\) of data/, " of the data"],
  [/layers up to (\d+) wide fit/, "--hidden layers up to $1 wide fit"],
  [/this library reads/, "this version reads"],
  [/ (is|are) undefined\b/, " $1 missing"],
];

/** Names of options in the library, and on the command line. */
const options: readonly (readonly [RegExp, string])[] = [
  [/\bhidden\[\d+\]/, "a width of --hidden"],
  [/\btime\.fourier\b/, "the K of --time fourier:K"],
  [/\bsolver\.steps\b/, "--steps"],
  [/\bsolver\.[ra]tol\b/, "--tolerance"],
  [/\bsolver\.maxSteps\b/, "--max-steps"],
  [/\bbatchSize\b/, "--batch-size"],
  [/\blearningRate(\(\d+\))?/, "--learning-rate"],
  [/\bgradientClip\b/, "--gradient-clip"],
  [/\brangeSize\b/, "--range-size"],
  [/\blockSeconds\b/, "--lock-seconds"],
  [/\bsolver\.method\b/, "--method"],
  [/\btransform has circular axes\b/, "--transform has circular columns"],
  [/\bleave (coupling) out$/, "leave --$1 out"],
  [/\bcoupling\.(group|reuse|pool)\b/, "--$1"],
  [/^(count|queue|url|name|software)(?= is )/, "--$1"],
];

/** Options of a training by the library's names: those of the command line, and what is a part of another option there. */
const trainingNames = new Map(
  Object.values(trainingFlags)
    .flat()
    .map(({ option }) => [option.attributeName(), option.long as string]),
).set("seed", "--seed");
const partOf = /\b(?:optimizer|regularization|coupling)\.(\w+)/;

/** What a message begins with, where it is the name of an option of a training. */
function trainingName(message: string): string {
  const text = message.replace(partOf, (whole, part) => trainingNames.get(part) ?? whole);
  return text.replace(/^(\w+)(?= (is|was|has|moves|leaves|pairs)\b)/, (name) => trainingNames.get(name) ?? name);
}

function lessMemory(command: string): string {
  return command === "train"
    ? "take a smaller --batch-size or narrower --hidden layers, and close what else uses the GPU"
    : "close what else uses the GPU, or use a flow with narrower layers";
}

function ownFile(): string {
  return "give a flow as `pushforward train` saved it (others are for programs that use the library)";
}

/** What an error of the library says, in words of the command line; `command` is the one that was called, such as "train". */
export function inWords(message: string, command: string): string {
  let text = message.replace(callee, "").replace(/^validation(?=[.:])/, "held-out rows");
  for (const [pattern, words] of advice)
    text = text.replace(pattern, typeof words === "string" ? words : words(command));
  for (const [pattern, word] of options) text = text.replace(pattern, word);
  text = trainingName(text);
  return text.replace(/^--url(?= is )/, command === "worker" ? "--redis" : "--cluster");
}

/**
 * What `make` gives; where a row of it is outside of --transform, the error has the name of its column, and the number of the row behind
 * the `before` ones that were read already.
 */
export function withNames<T>(columns: readonly string[], make: () => T, before = 0): T {
  try {
    return make();
  } catch (error) {
    throw withColumnNames(error, columns, before);
  }
}

/** An error that names columns by their numbers, with their names; rows of a training have been shuffled and have no number. */
export function withColumnNames(error: unknown, columns: readonly string[], before = 0): unknown {
  if (!(error instanceof Error) || error.name !== "PushforwardError") return error;
  const { code } = error as PushforwardError;
  const named = error.message
    .replace(
      /row \d+, column (\d+) \(from 0\) of data is/,
      (_, column) => `a row of which ${called(columns, column)} is`,
    )
    .replace(/column (\d+) \(from 0\)( of data)?/g, (_, column) => `the column ${called(columns, column)}`)
    .replace(
      /(?:the table|x) holds (.*) at row (\d+), column (\d+), but transform has it (.*): remove or repair that row, or change the transform$/,
      (_, values, row, column, range) =>
        `row ${before + Number(row) + 1} has ${values} in ${called(columns, column)}, but --transform has it ${range}: correct it, remove that row, or choose another --transform`,
    );
  return named === error.message ? error : new PushforwardError(code, named, { cause: error });
}

function called(columns: readonly string[], index: string): string {
  return shown(columns[Number(index)] ?? index);
}
