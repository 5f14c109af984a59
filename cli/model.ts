import { readFile } from "node:fs/promises";
import type { Flow } from "pushforward";
import { PushforwardError } from "../src/errors.ts";
import { type LoadedFlow, loadFlow } from "../src/flow/file.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/io/safetensors.ts";
import { type Conditions, conditionsKey, parseConditions } from "./conditions.ts";
import type { Context } from "./context.ts";
import { onFile, shown } from "./file-errors.ts";
import { writeOutput } from "./outputs.ts";
import type { Target } from "./targets.ts";

const columnsKey = "pushforward.columns";
/** Metadata of a flow that holds {@link TrainingRecord} as JSON. */
const recordKey = "pushforward.trained";

/** How a flow came to be, for who finds its file. */
interface TrainingRecord {
  /** By the options of `train`. */
  readonly options: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly steps: number;
}

/** Saves a flow with the names of its columns, so that `sample` and `log-prob` know them. */
export async function saveModel(
  context: Context,
  flow: Flow,
  target: Target,
  columns: readonly string[],
  conditions: Conditions,
  record: TrainingRecord,
): Promise<void> {
  const more = { ...conditionsMetadata(conditions), [recordKey]: JSON.stringify(record) };
  await writeOutput(context, target, withMetadata(await flow.save(), columns, more), { rescue: true });
}

/** The field of a file's metadata that holds the conditions; none where there are none. */
export function conditionsMetadata(conditions: Conditions): Record<string, string> {
  return (conditions.labels ?? conditions.context ?? conditions.shortcut)
    ? { [conditionsKey]: JSON.stringify(conditions) }
    : {};
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
  options: LoadedFlow;
  /** Undefined for files that were not written by `pushforward train`. */
  columns: string[] | undefined;
  conditions: Conditions;
  /** Undefined for files of earlier versions, and of others. */
  record: TrainingRecord | undefined;
}

export async function readModel(path: string): Promise<ModelFile> {
  const bytes = new Uint8Array(await onFile(path, () => readFile(path)));
  try {
    const { metadata } = decodeSafetensors(bytes);
    const text = metadata[columnsKey];
    return {
      bytes,
      options: loadFlow(bytes),
      columns: text === undefined ? undefined : parseNames(text),
      conditions: parseConditions(metadata[conditionsKey]) ?? {},
      record: parseRecord(metadata[recordKey]),
    };
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

function parseRecord(text: string | undefined): TrainingRecord | undefined {
  try {
    const record = JSON.parse(text ?? "") as TrainingRecord;
    const isPlain = Object.values(record.options).every((value) => typeof value === "string");
    return isPlain && Number.isFinite(record.rows) && Number.isFinite(record.steps) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Names for `dim` columns: the file's own where they fit, else x1, x2, …. */
export function columnNames(model: Pick<ModelFile, "columns">, dim: number): string[] {
  return model.columns?.length === dim ? model.columns : Array.from({ length: dim }, (_, i) => `x${i + 1}`);
}
