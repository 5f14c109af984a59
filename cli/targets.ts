import { constants, fstatSync } from "node:fs";
import { access, lstat, readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type Context, UsageError } from "./context.ts";
import { FileError, faultOf, fileError, onFile, shown } from "./file-errors.ts";

/** Where an output goes, found before the work begins. */
export interface Target {
  /** As the user wrote it. */
  readonly path: string;
  /** What stands there: pipes and devices are written into, files are written anew. */
  readonly kind: "file" | "pipe" | "device" | "stdout";
  /** Where a file comes to lie, with all links followed; the same as `path` for the others. */
  readonly place: string;
}

/** A path of a command line and the word of the command line that it belongs to, such as "--output" or "the data". */
export interface Named {
  readonly name: string;
  readonly path: string;
}

/** Spellings of stdout as an output. */
export const stdoutNames = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
const stdinNames = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/** Finds what an output's path leads to; throws in words for all that cannot or should not be written. */
export async function findTarget(path: string, name = "the output"): Promise<Target> {
  if (path === "") throw new UsageError(`${name} is "", but it is the name of a file: give one, or - for stdout`);
  if (stdoutNames.includes(path)) return { path, kind: "stdout", place: path };
  return onFile(path, async () => {
    const entry = await statOf(path);
    if (/[/\\]$/.test(path) && (path.endsWith("/") || process.platform === "win32"))
      throw new FileError("EISDIR", `${shown(path)} names a folder, but ${name} is a file: add the file's name`);
    if (entry?.isDirectory())
      throw new FileError("EISDIR", `${shown(path)} is a folder, but ${name} is a file: add the file's name`);
    if (entry?.isFIFO()) return { path, kind: "pipe", place: path };
    if (entry?.isCharacterDevice()) return { path, kind: "device", place: path };
    if (entry && !entry.isFile()) {
      const what = entry.isSocket() ? "a socket" : entry.isBlockDevice() ? "a disk" : "no file";
      throw new FileError("EINVAL", `${shown(path)} is ${what}, which ${name} does not write into: give a file's name`);
    }
    if (entry) await access(path, constants.W_OK);
    return { path, kind: "file", place: entry ? await realpath(path) : await placeOfNew(path, name) };
  });
}

async function statOf(path: string) {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (faultOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Where a file that is not there yet will be: in its folder, or where a link that leads to nothing points. */
async function placeOfNew(path: string, name: string, links = 0): Promise<string> {
  let folder: string;
  try {
    folder = await realpath(dirname(path));
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
  } catch (error) {
    if (faultOf(error) === "ENOENT") {
      const missing = shown(dirname(path));
      throw new FileError("ENOENT", `no such folder: ${missing}, for ${name} ${shown(path)}: make it first`);
    }
    throw error;
  }
  const place = join(folder, basename(path));
  const entry = await lstat(place).catch(() => undefined);
  if (!entry?.isSymbolicLink()) return place;
  if (links > 40) throw fileError(Object.assign(new Error(), { code: "ELOOP" }), path);
  return placeOfNew(resolve(folder, await readlink(place)), name, links + 1);
}

/**
 * Refuses outputs that are the same file as an input or as one another, whatever the spelling: links, hard links, other
 * letters on a file system that takes them for equal.
 */
export async function refuseOverlaps(
  context: Pick<Context, "stdin" | "stdout">,
  outputs: readonly (Named & { target: Target })[],
  inputs: readonly Named[],
): Promise<void> {
  const taken: { named: Named; identity: Identity; isInput: boolean }[] = [];
  for (const input of inputs) {
    const identity = await identityOfInput(context, input.path);
    if (identity) taken.push({ named: input, identity, isInput: true });
  }
  for (const output of outputs) {
    const identity = await identityOfOutput(context, output.target);
    if (identity === undefined) continue;
    for (const { named, identity: other, isInput } of taken) {
      if (!areSame(identity, other)) continue;
      const both = output.path === named.path ? shown(output.path) : `${shown(output.path)} and ${shown(named.path)}`;
      throw new UsageError(
        isInput
          ? `${output.name} would replace ${named.name}: ${output.path === named.path ? both : `${both} are one file`}. Give ${output.name} another name`
          : `${named.name} and ${output.name} are one file, ${both}: give ${output.name} a file of its own`,
      );
    }
    taken.push({ named: output, identity, isInput: false });
  }
}

/** Device and number of what is there; else the place of what is not there yet. */
type Identity = { inode: string } | { place: string };

function areSame(a: Identity, b: Identity): boolean {
  return "inode" in a ? "inode" in b && a.inode === b.inode : "place" in b && a.place === b.place;
}

async function identityOfInput({ stdin }: Pick<Context, "stdin">, path: string): Promise<Identity | undefined> {
  if (stdinNames.includes(path)) return (stdin as unknown) === process.stdin ? identityOfOpen(0) : undefined;
  // What is not there, or cannot be seen, is for its reader to tell.
  return identityOfExisting(path).catch(() => undefined);
}

async function identityOfOutput(
  { stdout }: Pick<Context, "stdout">,
  { kind, place }: Target,
): Promise<Identity | undefined> {
  if (kind === "stdout") return (stdout as unknown) === process.stdout ? identityOfOpen(1) : undefined;
  if (kind === "device") return undefined;
  const existing = await identityOfExisting(place).catch(() => undefined);
  // In the form in which file systems that ignore case or composition would compare two names.
  return existing ?? { place: place.normalize("NFC").toLowerCase() };
}

/** Of a file or a named pipe; devices are no files that could be lost. */
async function identityOfExisting(path: string): Promise<Identity | undefined> {
  const entry = await stat(path, { bigint: true });
  if (!entry.isFile() && !entry.isFIFO()) return undefined;
  return entry.ino === 0n ? { place: (await realpath(path)).toLowerCase() } : { inode: `${entry.dev}:${entry.ino}` };
}

/** Of what a shell has opened for us: `< data.csv`, `>> data.csv`. */
function identityOfOpen(descriptor: number): Identity | undefined {
  try {
    const entry = fstatSync(descriptor, { bigint: true });
    return entry.isFile() ? { inode: `${entry.dev}:${entry.ino}` } : undefined;
  } catch {
    return undefined;
  }
}
