import { PushforwardError } from "../src/errors.ts";
import { type Context, Interrupted, isPushforwardError } from "./context.ts";
import { type RowFormat, rowFormatOf } from "./endings.ts";
import { FileError, ReaderGone } from "./file-errors.ts";
import { openSink } from "./outputs.ts";
import { count } from "./report.ts";
import { type Block, csvHeader, csvRows, type NumberBlock, rawBytes } from "./rows.ts";
import { findTarget, type Target } from "./targets.ts";

/** Rows on their way to a file or to stdout. */
export interface RowOutput {
  readonly count: number;
  write(blocks: readonly Block[]): Promise<void>;
  finish(): Promise<void>;
  /**
   * Cleans up after `error` and returns what to throw: finished rows are kept beside the file's name, unless the input or the
   * command line is at fault, which the user will correct first.
   */
  abandon(error: unknown): Promise<unknown>;
}

/** Opens the output and writes the line of names; `-` is stdout. */
export async function openRows(
  context: Context,
  output: string | Target,
  names: readonly string[],
  format?: RowFormat,
): Promise<RowOutput> {
  const target = typeof output === "string" ? await findTarget(output) : output;
  const isCsv = rowFormatOf(target, format) === "csv";
  const sink = await openSink(context, target);
  let rows = 0;
  let isBegun = false;
  return {
    get count() {
      return rows;
    },
    async write(blocks) {
      const [first] = blocks;
      if (first === undefined) return;
      const added = "text" in first ? first.text.length : first.data.length / first.width;
      const header = isCsv && !isBegun ? csvHeader(names) : "";
      await sink.write(isCsv ? header + csvRows(blocks, added) : rawBytes(interleave(blocks.filter(isNumbers), added)));
      isBegun = true;
      rows += added;
    },
    async finish() {
      if (isCsv && !isBegun) await sink.write(csvHeader(names));
      isBegun = true;
      await sink.finish();
    },
    async abandon(error) {
      const { aborted } = context.signal;
      const isOfInput = isPushforwardError(error) && (error.code === "format" || error.code === "invalid-argument");
      if (rows === 0 || (isOfInput && !aborted)) {
        await sink.discard();
        return aborted ? new Interrupted("stopped before the first rows were finished; nothing was written") : error;
      }
      const place = await sink.keep();
      const rest = place ? `the ${count(rows)} rows so far are in ${place}` : `after ${count(rows)} rows`;
      if (aborted) return new Interrupted(place ? `stopped; ${rest}` : `stopped ${rest}`);
      const told = withMore(error, rest);
      if (told === error && !(error instanceof ReaderGone)) context.stderr.write(`${rest}\n`);
      return told;
    },
  };
}

/** An error of the same kind that says more. */
function withMore(error: unknown, rest: string): unknown {
  if (error instanceof FileError) return new FileError(error.code, `${error.message}; ${rest}`, { cause: error });
  if (isPushforwardError(error)) return new PushforwardError(error.code, `${error.message}; ${rest}`, { cause: error });
  return error;
}

function isNumbers(block: Block): block is NumberBlock {
  return "data" in block;
}

/** Row-major rows from blocks of columns. */
function interleave(blocks: readonly NumberBlock[], rows: number): Float32Array {
  const [first] = blocks;
  if (blocks.length === 1 && first?.data instanceof Float32Array) return first.data;
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
