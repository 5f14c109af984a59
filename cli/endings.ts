import { extname } from "node:path";
import { UsageError } from "./context.ts";
import { shown } from "./file-errors.ts";
import type { Target } from "./targets.ts";

export const rowFormats = ["csv", "bin"] as const;
export type RowFormat = (typeof rowFormats)[number];

/** Endings of row files and what such a file holds. */
const rowEndings: Record<string, RowFormat> = { "": "csv", ".csv": "csv", ".txt": "csv", ".bin": "bin" };

/** Programs that compress what comes on their standard input, by the ending of what they write. */
const packers: Record<string, string> = { ".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2" };

/** Formats of others, in which a file of safetensors would be looked at in vain. */
const foreign =
  /^\.(csv|tsv|txt|json|jsonl|ya?ml|xml|html|md|parquet|feather|arrow|avro|xlsx?|ods|bin|np[yz]|mat|h5|hdf5|pkl|pickle|pth?|onnx|pb|tflite|gguf|png|jpe?g|svg|pdf|gz|zip|zst|xz|bz2|7z|tar|tgz)$/;

/** Where no format was said: names without an ending, and those that end in a number such as run-0.5, say nothing of one. */
function endingOf(path: string): string {
  const ending = extname(path).toLowerCase();
  return /^\.[a-z0-9_]*[a-z][a-z0-9_]*$/.test(ending) && !/^\.\d+(e\d+)?$/.test(ending) ? ending : "";
}

/** What rows are written as: as was said, else as the file's ending says; throws for endings of other formats. */
export function rowFormatOf({ path, kind }: Pick<Target, "path" | "kind">, chosen?: RowFormat): RowFormat {
  if (chosen !== undefined) return chosen;
  const ending = endingOf(path);
  const format = rowEndings[ending];
  if (format !== undefined || kind !== "file") return format ?? "csv";
  if (/\.(gz|zst|xz|bz2)$/.test(ending))
    throw new UsageError(
      `--output is ${shown(path)}, but rows are written without compression: pipe them through a program that compresses, as in -o - | ${packers[ending]} > ${shown(path)}, or let it end in .csv or .bin`,
    );
  if (ending === ".tsv")
    throw new UsageError(
      `--output is ${shown(path)}, but columns are written with commas between, not with tabs: let it end in .csv`,
    );
  throw new UsageError(
    `--output is ${shown(path)}, but rows are written as csv or bin, not as ${ending}: let it end in .csv or .bin, or say what it gets with --format csv or --format bin`,
  );
}

/** Python imports what ends in .py alone. */
export function checkPythonEnding({ path, kind }: Pick<Target, "path" | "kind">): void {
  const ending = endingOf(path);
  if (kind === "file" && ending !== ".py")
    throw new UsageError(
      `--output is ${shown(path)}, but a module of Python is imported by a name that ends in .py: let it end so`,
    );
}

/** Flows and checkpoints are safetensors: throws where the name of the file promises another format. */
export function checkFlowEnding(name: string, { path, kind }: Pick<Target, "path" | "kind">): void {
  const ending = endingOf(path);
  if (kind === "file" && foreign.test(ending))
    throw new UsageError(
      `${name} is ${shown(path)}, but it is written as safetensors, not as ${ending}: let it end in .safetensors`,
    );
}
