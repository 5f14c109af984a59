import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { item } from "../src/must.ts";
import { type Context, UsageError } from "./context.ts";
import { FileError, onFile, shown } from "./file-errors.ts";
import { GrowingFile, rescued, type Sink, writeWhole } from "./files.ts";
import { openStream } from "./stream-sink.ts";
import { findTarget, type Named, refuseOverlaps, type Target } from "./targets.ts";

/**
 * Checks all outputs of a command before it reads or computes anything: that each can be written, that none is an input or
 * another output, and that no bytes for programs go to a terminal. Throws in words; nothing has been changed then.
 */
export async function claimOutputs(
  context: Context,
  outputs: readonly (Named & { binary?: boolean })[],
  inputs: readonly Named[],
): Promise<Target[]> {
  const found: (Named & { target: Target })[] = [];
  for (const output of outputs) {
    const target = await findTarget(output.path, output.name);
    if (target.kind === "stdout" && output.binary && context.stdout.isTTY)
      throw new UsageError(
        `${output.name} is ${shown(output.path)}, but these bytes are not for a terminal: give a file's name, or send them on with | or >`,
      );
    found.push({ ...output, target });
  }
  await refuseOverlaps(context, found, inputs);
  for (const { target } of found) await probe(target);
  return found.map(({ target }) => target);
}

/** The same for a command whose one output is that of --output. */
export async function claimOutput(
  context: Context,
  path: string,
  binary: boolean,
  inputs: readonly Named[],
): Promise<Target> {
  return item(await claimOutputs(context, [{ name: "--output", path, binary }], inputs), 0);
}

/** Makes a neighbour of the file and removes it: a folder that takes it takes the output, too, as far as can be known. */
async function probe(target: Target): Promise<void> {
  if (target.kind !== "file") return;
  const file = await GrowingFile.create(target);
  try {
    // A full disk still takes names, but no content.
    await file.write(new Uint8Array(4096));
  } finally {
    await file.discard();
  }
}

/** Throws when the disk of a file has no room for `bytes`; file systems that do not tell are taken at their word. */
export async function checkRoom({ kind, path, place }: Target, bytes: number): Promise<void> {
  if (kind !== "file") return;
  const { bavail, bsize, blocks } = await onFile(path, () => statfs(dirname(place)));
  const free = bavail * bsize;
  if (blocks === 0 || bytes <= free) return;
  const gigabytes = (value: number) => `${(value / 1e9).toPrecision(3)} GB`;
  throw new FileError(
    "ENOSPC",
    `${shown(path)} would have ${gigabytes(bytes)} or more, but its disk has ${gigabytes(free)} free: make room, write elsewhere, or ask for less`,
  );
}

/** Opens an output that is written piece by piece. */
export function openSink(context: Context, target: Target): Promise<Sink> {
  return target.kind === "file" ? GrowingFile.create(target) : openStream(context, target);
}

/** Writes an output at once; see {@link writeWhole}. */
export async function writeOutput(
  context: Context,
  target: Target,
  bytes: Uint8Array | string,
  { rescue = false }: { rescue?: boolean } = {},
): Promise<void> {
  if (target.kind === "file") return writeWhole(target, bytes, { rescue });
  let sink: Sink | undefined;
  try {
    sink = await openStream(context, target);
    await sink.write(bytes);
    await sink.finish();
  } catch (error) {
    await sink?.discard();
    throw rescue ? await rescued(error, target, bytes) : error;
  }
}
