import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { runCommandLine } from "../../cli/program.ts";

/** What a command gets instead of the process, and what it wrote. */
export function captured(stdin = "", signal: AbortSignal = new AbortController().signal) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const text = { out: "", err: "" };
  stdout.on("data", (piece) => {
    text.out += piece;
  });
  stderr.on("data", (piece) => {
    text.err += piece;
  });
  return { context: { stdin: Readable.from([stdin]), stdout, stderr, signal }, text };
}

export async function run(words: string[], stdin = "", signal?: AbortSignal) {
  const { context, text } = captured(stdin, signal);
  const code = await runCommandLine(words, context, "1.2.3");
  return { code, ...text };
}

/** A folder of its own, which is gone afterwards. */
export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pushforward-cli-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
