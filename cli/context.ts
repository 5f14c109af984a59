import type { Gpu } from "pushforward";
import type { PushforwardError } from "../src/errors.ts";
import { withoutNotices } from "./quiet.ts";
import type { Output } from "./report.ts";

/** What a command gets from the process; tests pass their own. */
export interface Context extends Output {
  stdin: NodeJS.ReadableStream;
  /** Aborted by Ctrl-C, by SIGTERM and SIGHUP, and when stdout fails; the reason says which. */
  signal: AbortSignal;
}

/** Thrown when Ctrl-C ended a command; the message says what was left behind. */
export class Interrupted extends Error {
  override name = "Interrupted";
}

/** A command line that cannot be carried out as it was written: exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Thrown when a command is done and its result is written, but some rows have none: exit code 3; the message says which and why. */
export class PartialResult extends Error {
  override name = "PartialResult";
}

/** By its name: the command line is bundled with a class of its own, and the library that it loads has another. */
export function isPushforwardError(error: unknown): error is PushforwardError {
  return error instanceof Error && error.name === "PushforwardError";
}

export interface GpuChoice {
  software: "allow" | "forbid" | "require";
}

/** Runs `work` with an open device and disposes of it, whatever happens. The library loads here, so that --help is quick. */
export async function withGpu<T>(choice: GpuChoice, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const { openGpu } = await import("pushforward");
  const gpu = await withoutNotices(() => openGpu({ software: choice.software }));
  try {
    return await work(gpu);
  } finally {
    gpu.dispose();
  }
}

/** One result: text for people, or one line of JSON for programs. */
export function printResult(
  context: Context,
  json: boolean,
  result: Record<string, unknown>,
  text: readonly string[],
): void {
  context.stdout.write(json ? `${JSON.stringify(result)}\n` : text.map((line) => `${line}\n`).join(""));
}

/** Where what is said of an output goes: to stdout, unless the output itself goes there. */
export function besideOutput(context: Context, { kind }: { kind: string }): Context {
  return kind === "stdout" ? { ...context, stdout: context.stderr } : context;
}
