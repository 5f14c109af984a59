import { readFile } from "node:fs/promises";
import type { TrainingOptions } from "pushforward";
import { decodeSafetensors } from "../src/io/safetensors.ts";
import { type Context, UsageError } from "./context.ts";
import { checkFlowEnding } from "./endings.ts";
import { FileError, faultOf, fileError, shown } from "./file-errors.ts";
import { withMetadata } from "./model.ts";
import { claimOutputs, writeOutput } from "./outputs.ts";
import { count } from "./report.ts";
import type { Target } from "./targets.ts";
import { checkSettings, parseSettings, settingsKey, type TrainingSettings } from "./training-settings.ts";

/** Metadata by which a file is known to be a checkpoint. */
const stateKey = "pushforward.training";

/** What the command line says of checkpoints. */
export interface CheckpointChoice {
  checkpoint?: string;
  checkpointEvery: number;
  resume: boolean;
  output: string;
  from?: string;
  source?: string;
}

/** Where a training writes. */
interface TrainingTargets {
  output: Target;
  checkpoint?: Target;
}

/** Finds where a training writes before it reads anything; throws for choices that do not go together. */
export async function claimTraining(
  context: Context,
  source: string,
  { checkpoint: state, resume, output: path, from, source: start }: CheckpointChoice,
): Promise<TrainingTargets> {
  if (state === undefined && resume)
    throw new UsageError("--resume goes on from a checkpoint: say which with --checkpoint <file>");
  const outputs = [
    { name: "--output", path, binary: true },
    ...(state === undefined ? [] : [{ name: "--checkpoint", path: state }]),
  ];
  const [output, checkpoint] = await claimOutputs(context, outputs, [
    { name: "the data", path: source },
    ...(from === undefined ? [] : [{ name: "the flow of --from", path: from }]),
    ...(start === undefined ? [] : [{ name: "the rows of --source", path: start }]),
  ]);
  if (checkpoint?.kind === "stdout" || checkpoint?.kind === "pipe")
    throw new UsageError(`--checkpoint is ${shown(checkpoint.path)}, but it is written many times: give a file's name`);
  for (const [name, target] of [
    ["--output", output],
    ["--checkpoint", checkpoint],
  ] as const)
    if (target) checkFlowEnding(name, target);
  return { output: output as Target, ...(checkpoint && { checkpoint }) }; // One for each that was asked for.
}

/**
 * The options of a training that keep its state in a file and go on from it; without `--checkpoint` none. Throws, in words of the
 * command line, where the file is of a training with other `settings`.
 */
export async function checkpointOptions(
  context: Context,
  target: Target | undefined,
  { checkpointEvery: every, resume }: CheckpointChoice,
  columns: readonly string[],
  settings: TrainingSettings,
  notes: Record<string, string> = {},
): Promise<Pick<TrainingOptions, "checkpoint" | "resume">> {
  if (target === undefined) return {};
  const { stderr } = context;
  const { path } = target;
  const there = resume || target.kind === "file" ? await readIfThere(path) : undefined;
  const bytes = resume ? there : undefined;
  if (there && !resume) tellReplaced(context, path, there);
  if (resume && !bytes) stderr.write(`${path} is not there yet: starting from the first step\n`);
  if (bytes) {
    const metadata = metadataOf(bytes);
    const there = parseSettings(metadata[settingsKey]);
    if (there) checkSettings(path, there, settings);
    stderr.write(`going on from ${path}${describe(metadata)}\n`);
  }
  return {
    checkpoint: {
      every,
      save: (state: Uint8Array) =>
        saveState(context, target, withMetadata(state, columns, { ...notes, [settingsKey]: JSON.stringify(settings) })),
    },
    ...(bytes && { resume: bytes }),
  };
}

/** What is no checkpoint is not replaced by one: it may be a flow. What is one is replaced, which is told. */
function tellReplaced({ stderr }: Context, path: string, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const metadata = metadataOf(bytes);
  if (metadata[stateKey] === undefined)
    throw new UsageError(
      `--checkpoint would replace ${shown(path)}, which is no checkpoint: give it another name, or remove that file`,
    );
  stderr.write(
    `note: ${path} holds the state of a training${describe(metadata)}, which this one replaces at its first checkpoint; to go on with it, add --resume\n`,
  );
}

/** A training is worth more than one of its checkpoints: where one cannot be written, the one before stays, and it goes on. */
async function saveState(context: Context, target: Target, state: Uint8Array): Promise<void> {
  try {
    await writeOutput(context, target, state);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    context.stderr.write(
      `warning: a checkpoint could not be written, the training goes on without: ${error.message}\n`,
    );
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if (faultOf(error) === "ENOENT") return undefined;
    throw fileError(error, path);
  }
}

/** How far it is; what is wrong with the file is for the training to say. */
function describe(metadata: Record<string, string>): string {
  try {
    const { step } = JSON.parse(metadata[stateKey] ?? "{}");
    return typeof step === "number" ? `, ${count(step)} steps done` : "";
  } catch {
    return "";
  }
}

/** Nothing where the file is damaged, which is for the training to say. */
function metadataOf(bytes: Uint8Array): Record<string, string> {
  try {
    return decodeSafetensors(bytes).metadata;
  } catch {
    return {};
  }
}
