import { readFile } from "node:fs/promises";
import type { Flow, FlowOptions } from "pushforward";
import { PushforwardError } from "../src/errors.ts";
import { loadFlow } from "../src/flow/file.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/io/safetensors.ts";
import type { Context } from "./context.ts";
import { onFile, shown } from "./file-errors.ts";
import { writeOutput } from "./outputs.ts";
import type { Target } from "./targets.ts";

const columnsKey = "pushforward.columns";

/** Saves a flow with the names of its columns, so that `sample` and `log-prob` know them. */
export async function saveModel(
  context: Context,
  flow: Flow,
  target: Target,
  columns: readonly string[],
): Promise<void> {
  await writeOutput(context, target, withMetadata(await flow.save(), columns), { rescue: true });
}

/** The bytes of a flow's file with the names of its columns, and more. */
export function withMetadata(
  bytes: Uint8Array,
  columns: readonly string[],
  more: Record<string, string> = {},
): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(bytes);
  return encodeSafetensors(tensors, { ...metadata, ...more, [columnsKey]: JSON.stringify(columns) });
}

export interface ModelFile {
  bytes: Uint8Array;
  /** What `Flow.create` makes the flow of again. */
  options: FlowOptions;
  /** Undefined for files that were not written by `pushforward train`. */
  columns: string[] | undefined;
}

export async function readModel(path: string): Promise<ModelFile> {
  const bytes = new Uint8Array(await onFile(path, () => readFile(path)));
  try {
    const text = decodeSafetensors(bytes).metadata[columnsKey];
    return { bytes, options: loadFlow(bytes), columns: text === undefined ? undefined : parseNames(text) };
  } catch (error) {
    if (!(error instanceof PushforwardError)) throw error;
    if (isText(bytes))
      throw new PushforwardError(
        "format",
        `${shown(path)} is text, but a flow is expected: the file that \`pushforward train\` saved comes first, then all else`,
      );
    throw new PushforwardError(error.code, `${shown(path)} is no flow that can be used: ${error.message}`, {
      cause: error,
    });
  }
}

/** Whether a file begins as one of lines: a flow begins with the length of its header, which has bytes of 0. */
function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 256);
  return head.length > 0 && !head.some((byte) => byte === 0) && /[,;\t\n]/.test(new TextDecoder().decode(head));
}

/** A hand-edited field is ignored rather than trusted. */
function parseNames(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((name) => typeof name === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Names for `dim` columns: the file's own where they fit, else x1, x2, …. */
export function columnNames(model: Pick<ModelFile, "columns">, dim: number): string[] {
  return model.columns?.length === dim ? model.columns : Array.from({ length: dim }, (_, i) => `x${i + 1}`);
}
