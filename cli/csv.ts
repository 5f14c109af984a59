import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { invalid, PushforwardError } from "../src/errors.ts";
import { nearest } from "../src/options.ts";

export interface CsvOptions {
  /** Names of the columns to read, in this order; default: all columns of the file. */
  columns?: readonly string[];
  /** Leave out rows with a missing or non-numeric cell instead of throwing. */
  skipInvalid?: boolean;
  /** Default ",". */
  delimiter?: string;
  /** False: the first line is data and columns are called "1", "2", …. Default true. */
  header?: boolean;
  /** Rows per chunk of {@link readCsvChunks}; default 65,536. */
  chunkRows?: number;
  signal?: AbortSignal;
}

export interface CsvChunk {
  columns: readonly string[];
  /** Row-major [rows, columns]. */
  data: Float32Array;
  rows: number;
  /** Rows left out so far, over all chunks. */
  skipped: number;
}

/** A decimal number as CSV files hold it; Number() alone would take "", " " and "0x10" too. */
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const defaultChunkRows = 65_536;

/**
 * Reads numeric columns of a CSV file, or of a stream, chunk by chunk, so that a file of any length takes constant memory.
 * A cell that is not a finite decimal number throws `format` with its line, column and value, unless `skipInvalid`.
 */
export async function* readCsvChunks(source: string | Readable, options: CsvOptions = {}): AsyncGenerator<CsvChunk> {
  const { columns: wanted, skipInvalid = false, header = true, chunkRows = defaultChunkRows, signal } = options;
  const input = typeof source === "string" ? createReadStream(source) : source;
  const parser = parse({
    bom: true,
    delimiter: options.delimiter ?? ",",
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
  });
  // Streams joined by pipe() do not pass errors on.
  input.on("error", (error: Error) => parser.destroy(error));
  input.pipe(parser);

  let selection: Selection | undefined;
  let data = new Float32Array(0);
  let rows = 0;
  let skipped = 0;
  let yielded = false;
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: string[];
      info: { lines: number };
    }>) {
      if (signal?.aborted) throw signal.reason;
      if (selection === undefined) {
        selection = select(header ? record : record.map((_, i) => String(i + 1)), wanted, record);
        data = new Float32Array(chunkRows * selection.names.length);
        if (header) continue;
      }
      const fault = readRow(record, selection, data, rows * selection.names.length);
      if (fault === undefined) rows++;
      else if (skipInvalid) skipped++;
      else throw cellError(fault, info.lines, selection);
      if (rows === chunkRows) {
        yield { columns: selection.names, data, rows, skipped };
        yielded = true;
        data = new Float32Array(data.length);
        rows = 0;
      }
    }
  } catch (error) {
    if (error instanceof CsvError) throw new PushforwardError("format", `the CSV cannot be read: ${error.message}`);
    throw error;
  } finally {
    input.destroy();
  }
  if (selection === undefined) {
    throw new PushforwardError("format", "the CSV is empty: expected a line of column names and rows of numbers");
  }
  // The last chunk also says how many rows were skipped, so it comes even when it has no row.
  if (rows > 0 || skipped > 0 || !yielded) {
    yield { columns: selection.names, data: data.slice(0, rows * selection.names.length), rows, skipped };
  }
}

/** Reads all rows into one array; see {@link readCsvChunks}. */
export async function readCsv(source: string | Readable, options: CsvOptions = {}): Promise<CsvChunk> {
  const chunks: Float32Array[] = [];
  let last: CsvChunk | undefined;
  let rows = 0;
  for await (const chunk of readCsvChunks(source, options)) {
    chunks.push(chunk.data);
    rows += chunk.rows;
    last = chunk;
  }
  if (last === undefined) throw new PushforwardError("format", "the CSV is empty"); // readCsvChunks yields at least once.
  const data = new Float32Array(rows * last.columns.length);
  let position = 0;
  for (const chunk of chunks) {
    data.set(chunk, position);
    position += chunk.length;
  }
  return { columns: last.columns, data, rows, skipped: last.skipped };
}

interface Selection {
  names: readonly string[];
  indices: readonly number[];
}

function select(names: readonly string[], wanted: readonly string[] | undefined, first: readonly string[]): Selection {
  if (wanted === undefined) return { names, indices: names.map((_, i) => i) };
  const indices = wanted.map((name) => {
    const index = names.indexOf(name);
    if (index < 0) throw missingColumn(name, names, first);
    if (names.indexOf(name, index + 1) >= 0) {
      throw new PushforwardError("format", `the CSV has two columns called "${name}": rename one of them`);
    }
    return index;
  });
  return { names: wanted, indices };
}

function missingColumn(name: string, names: readonly string[], first: readonly string[]): PushforwardError {
  const near = nearest(name, names);
  const hint = near === undefined ? "" : `: did you mean "${near}"?`;
  const bare = first.every((cell) => decimal.test(cell))
    ? " Its first line is numbers: for a file without names add --no-header."
    : "";
  return invalid(`the CSV has no column "${name}"${hint} It has: ${names.join(", ")}.${bare}`);
}

interface CellFault {
  column: number;
  cell: string | undefined;
}

/** Writes the row's numbers into `data` at `offset`; a fault when a cell is not one. */
function readRow(
  record: readonly string[],
  selection: Selection,
  data: Float32Array,
  offset: number,
): CellFault | undefined {
  for (const [column, index] of selection.indices.entries()) {
    const cell = record[index];
    const value = cell !== undefined && decimal.test(cell) ? Math.fround(Number(cell)) : Number.NaN;
    if (!Number.isFinite(value)) return { column, cell };
    data[offset + column] = value;
  }
  return undefined;
}

function cellError({ column, cell }: CellFault, line: number, selection: Selection): PushforwardError {
  const got = cell === undefined || cell === "" ? "nothing" : `"${cell.slice(0, 60)}"`;
  const big = cell !== undefined && decimal.test(cell) ? " within the range of f32 (about ±3.4e38)" : "";
  const name = selection.names[column];
  return new PushforwardError(
    "format",
    `line ${line} of the CSV has ${got} in column "${name}", but a number${big} is expected: correct it, or leave such rows out with --skip-invalid`,
  );
}
