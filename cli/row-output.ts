import { once } from "node:events";
import { type Context, Interrupted } from "./context.ts";
import { GrowingFile } from "./files.ts";
import { count } from "./report.ts";
import { csvHeader, csvRows, rawBytes } from "./rows.ts";

export type RowFormat = "csv" | "bin";

export interface Block {
  data: Float32Array;
  width: number;
}

/** Rows on their way to a file or to stdout. */
export interface RowOutput {
  readonly count: number;
  write(blocks: readonly Block[]): Promise<void>;
  finish(): Promise<void>;
  /** Cleans up after `error` and returns what to throw: on Ctrl-C finished rows are kept beside the file's name. */
  abandon(error: unknown): Promise<unknown>;
}

/** Opens the output and writes the line of names; `-` is stdout. */
export async function openRows(
  context: Context,
  path: string,
  names: readonly string[],
  format: RowFormat = path.endsWith(".bin") ? "bin" : "csv",
): Promise<RowOutput> {
  const file = path === "-" ? undefined : await GrowingFile.create(path);
  const put = file
    ? (bytes: string | Uint8Array) => file.write(bytes)
    : (bytes: string | Uint8Array) => writeStream(context, bytes);
  let rows = 0;
  if (format === "csv") await put(csvHeader(names));
  return {
    get count() {
      return rows;
    },
    async write(blocks) {
      const [first] = blocks;
      if (first === undefined) return;
      const added = first.data.length / first.width;
      await put(format === "csv" ? csvRows(blocks, added) : rawBytes(interleave(blocks, added)));
      rows += added;
    },
    finish: async () => file?.finish(),
    async abandon(error) {
      if (!context.signal.aborted) {
        await file?.discard();
        return error;
      }
      if (file === undefined) return new Interrupted(`stopped after ${count(rows)} rows`);
      if (rows === 0) {
        await file.discard();
        return new Interrupted("stopped before the first rows were finished; nothing was written");
      }
      return new Interrupted(`stopped; the ${count(rows)} rows so far are in ${await file.keepPartial()}`);
    },
  };
}

async function writeStream({ stdout }: Context, bytes: string | Uint8Array): Promise<void> {
  if (!stdout.write(bytes)) await once(stdout, "drain");
}

/** Row-major rows from blocks of columns. */
function interleave(blocks: readonly Block[], rows: number): Float32Array {
  const [first] = blocks;
  if (blocks.length === 1 && first) return first.data;
  const width = blocks.reduce((sum, block) => sum + block.width, 0);
  const all = new Float32Array(rows * width);
  let start = 0;
  for (const block of blocks) {
    for (let row = 0; row < rows; row++) {
      all.set(block.data.subarray(row * block.width, (row + 1) * block.width), row * width + start);
    }
    start += block.width;
  }
  return all;
}
