import type { Gpu } from "pushforward";
import type { Output } from "./report.ts";

/** What a command gets from the process; tests pass their own. */
export interface Context extends Output {
  stdin: NodeJS.ReadableStream;
  /** Aborted by Ctrl-C. */
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

export interface GpuChoice {
  software: "allow" | "forbid" | "require";
}

/** Runs `work` with an open device and disposes of it, whatever happens. The library loads here, so that --help is quick. */
export async function withGpu<T>(choice: GpuChoice, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const { openGpu } = await import("pushforward");
  const gpu = await openGpu({ software: choice.software });
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
