import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { TrainingOptions } from "pushforward";
import { decodeSafetensors } from "../src/io/safetensors.ts";
import { UsageError } from "./context.ts";
import { writeWhole } from "./files.ts";
import { withColumns } from "./model.ts";
import { count, type Output } from "./report.ts";

/** What the command line says of checkpoints. */
export interface CheckpointChoice {
  checkpoint?: string;
  checkpointEvery: number;
  resume: boolean;
  output: string;
}

/** Throws for choices that do not go together. */
export function checkCheckpoints({ checkpoint, resume, output }: CheckpointChoice): void {
  if (checkpoint === undefined && resume)
    throw new UsageError("--resume goes on from a checkpoint: say which with --checkpoint <file>");
  if (checkpoint !== undefined && resolve(checkpoint) === resolve(output))
    throw new UsageError(`--checkpoint and --output are both ${output}: give the checkpoint a file of its own`);
}

/** The options of a training that keep its state in a file and go on from it; without `--checkpoint` none. */
export async function checkpointOptions(
  { stderr }: Output,
  { checkpoint: path, checkpointEvery: every, resume }: CheckpointChoice,
  columns: readonly string[],
): Promise<Pick<TrainingOptions, "checkpoint" | "resume">> {
  if (path === undefined) return {};
  const bytes = resume ? await readIfThere(path) : undefined;
  if (resume && !bytes) stderr.write(`${path} is not there yet: starting from the first step\n`);
  if (bytes) stderr.write(`going on from ${path}${describe(bytes)}\n`);
  return {
    checkpoint: { every, save: (state: Uint8Array) => writeWhole(path, withColumns(state, columns)) },
    ...(bytes && { resume: bytes }),
  };
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** How far it is; what is wrong with the file is for the training to say. */
function describe(bytes: Uint8Array): string {
  try {
    const { step } = JSON.parse(decodeSafetensors(bytes).metadata["pushforward.training"] ?? "{}");
    return typeof step === "number" ? `, ${count(step)} steps done` : "";
  } catch {
    return "";
  }
}
