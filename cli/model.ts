import { readFile } from "node:fs/promises";
import type { Flow } from "pushforward";
import { decodeSafetensors, encodeSafetensors } from "../src/io/safetensors.ts";
import type { Context } from "./context.ts";
import { onFile } from "./file-errors.ts";
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
  await writeOutput(context, target, withColumns(await flow.save(), columns), { rescue: true });
}

/** The bytes of a flow's file with the names of its columns. */
export function withColumns(bytes: Uint8Array, columns: readonly string[]): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(bytes);
  metadata[columnsKey] = JSON.stringify(columns);
  return encodeSafetensors(tensors, metadata);
}

export interface ModelFile {
  bytes: Uint8Array;
  /** Undefined for files that were not written by `pushforward train`. */
  columns: string[] | undefined;
}

export async function readModel(path: string): Promise<ModelFile> {
  const bytes = new Uint8Array(await onFile(path, () => readFile(path)));
  const text = decodeSafetensors(bytes).metadata[columnsKey];
  return { bytes, columns: text === undefined ? undefined : parseNames(text) };
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
export function columnNames(model: ModelFile, dim: number): string[] {
  return model.columns?.length === dim ? model.columns : Array.from({ length: dim }, (_, i) => `x${i + 1}`);
}
