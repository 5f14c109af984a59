import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { PushforwardError } from "../src/errors.ts";
import { item, must } from "../src/must.ts";
import { isDecimal } from "./csv-cell.ts";
import {
  type Beginning,
  checkNames,
  delimiterHint,
  lowerFirst,
  misfit,
  otherDelimiter,
  type Selection,
  selectColumns,
} from "./csv-shape.ts";
import { cellError, type Needs, Survey } from "./csv-survey.ts";
import { type Place, placeOf, textOf } from "./csv-text.ts";

export interface CsvOptions {
  /** Names of the columns to read, in this order; default: all columns of the file. */
  columns?: readonly string[] | undefined;
  /** How many columns are read where none are named, from the first on; default: all. */
  first?: number;
  /** Leave out rows with a missing or non-numeric cell, or with more or fewer cells than names, instead of throwing. */
  skipInvalid?: boolean;
  /** Default ",". */
  delimiter?: string;
  /**
   * False: the first line is data and columns are called "1", "2", …. True: it is names, whatever they look like.
   * Default: names, and an error when they look like numbers.
   */
  header?: boolean | undefined;
  /** Rows per chunk of {@link readCsvChunks}; default 65,536. */
  chunkRows?: number;
  /** Whether chunks hold the text of all cells of their rows; default false. */
  text?: boolean;
  /** The command that reads from a pipe, for what errors advise. */
  reader?: string;
  /** Counts what keeps rows from being numbers. */
  survey?: Survey;
  /** What a table is needed for that {@link readCsv} reads as a whole; default: a row. */
  needs?: Needs;
  signal?: AbortSignal;
}

export interface CsvChunk {
  columns: readonly string[];
  /** Row-major [rows, columns]. */
  data: Float64Array;
  rows: number;
  /** Rows left out so far, over all chunks. */
  skipped: number;
  /** All columns of the file; "" for those without a name. */
  names: readonly string[];
  /** The cells of each row, of all columns of the file, when `text` is asked for. */
  text: readonly (readonly string[])[];
  /** Which row of data each row is in the file, from 1, when `text` is asked for. */
  numbers: readonly number[];
}

const defaultChunkRows = 65_536;
/** A quote that is not closed would take the rest of a file into one cell. */
const mostLineBytes = 1 << 26;

/**
 * Reads numeric columns of a CSV file, or of a stream, chunk by chunk, so that a file of any length takes constant memory.
 * Numbers are f64. A line whose cells do not fit the names, and a cell that is not a finite decimal number, throw `format` with
 * line, column, value and what to do, unless `skipInvalid`; files that are no text in UTF-8 throw it with their kind.
 */
export function readCsvChunks(source: string | Readable, options: CsvOptions = {}): AsyncGenerator<CsvChunk> {
  return readChunks(source, options, false);
}

interface Line {
  record: string[];
  info: { lines: number };
}

/** @param surveys whether cells that are no numbers are only counted, for the survey to tell of at the end */
async function* readChunks(
  source: string | Readable,
  options: CsvOptions,
  surveys: boolean,
): AsyncGenerator<CsvChunk, undefined> {
  const { skipInvalid = false, header, chunkRows = defaultChunkRows, delimiter = ",", signal } = options;
  const place = placeOf(source, options.reader);
  const survey = options.survey ?? new Survey();
  let names: { record: string[]; line: number } | undefined;
  let beginning: Beginning | undefined;
  let selection: Selection | undefined;
  let data = new Float64Array(0);
  let text: string[][] = [];
  let numbers: number[] = [];
  let rows = 0;
  let skipped = 0;
  let yielded = false;
  const begin = (first: string[] | undefined): Selection => {
    beginning = {
      place,
      delimiter,
      header: names?.record,
      headerLine: names?.line ?? 1,
      first,
      wanted: options.columns,
      limit: options.first,
    };
    if (header === undefined) checkNames(beginning);
    const chosen = selectColumns(beginning);
    survey.begin(chosen.names, chosen.width === 1 ? otherDelimiter(beginning) : undefined);
    data = new Float64Array(chunkRows * chosen.names.length);
    return chosen;
  };
  const chunk = ({ names: columns, all }: Selection): CsvChunk => ({
    columns,
    names: all,
    data: rows === chunkRows ? data : data.slice(0, rows * columns.length),
    rows,
    skipped,
    text,
    numbers,
  });
  for await (const { record, info } of records(source, place, delimiter)) {
    if (signal?.aborted) throw signal.reason;
    if (names === undefined && header !== false) {
      if (!record.every((cell) => cell === "")) names = { record, line: info.lines };
      continue;
    }
    selection ??= begin(record);
    const fault = beginning && !fits(record, selection) ? misfit(record, info.lines, selection, beginning) : undefined;
    if (fault) {
      if (!skipInvalid) throw fault;
      survey.addMisfit(fault);
      skipped++;
      continue;
    }
    if (survey.addRow(record, selection.indices, info.lines, data, rows * selection.names.length)) {
      rows++;
      if (options.text) {
        text.push(selection.width > selection.all.length ? record.slice(0, -1) : record);
        numbers.push(survey.rows);
      }
    } else if (skipInvalid || surveys) skipped++;
    else throw firstFault(record, info.lines, selection, place, delimiter, beginning);
    if (rows === chunkRows) {
      yield chunk(selection);
      yielded = true;
      data = new Float64Array(data.length);
      text = [];
      numbers = [];
      rows = 0;
    }
  }
  if (signal?.aborted) throw signal.reason;
  if (selection === undefined && names === undefined) {
    throw new PushforwardError("format", `${place.name} is empty: expected a line of column names and rows of numbers`);
  }
  selection ??= begin(undefined);
  // The last chunk also says how many rows were skipped, so it comes even when it has no row.
  if (rows > 0 || skipped > 0 || !yielded) yield chunk(selection);
}

/** The lines of a file that are not blank; in a file of one column a blank line between others is a missing value. */
async function* records(source: string | Readable, place: Place, delimiter: string): AsyncGenerator<Line> {
  const input = typeof source === "string" ? createReadStream(source) : source;
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    max_record_size: mostLineBytes,
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_column_count: true,
    trim: true,
  });
  let head = "";
  const text = async function* (): AsyncGenerator<string> {
    for await (const piece of textOf(input, place)) {
      head ||= piece;
      yield piece;
    }
  };
  const lines = Readable.from(text(), { objectMode: false });
  // Streams joined by pipe() do not pass errors on.
  lines.on("error", (error: Error) => parser.destroy(error));
  lines.pipe(parser);
  let width = 0;
  let blank: Line[] = [];
  try {
    for await (const line of parser as AsyncIterable<Line>) {
      const { record } = line;
      if (record.length === 1 && record[0] === "") {
        if (width === 1) blank.push(line);
        continue;
      }
      // A line of blanks where these are the delimiter.
      if (delimiter.trim() === "" && record.length !== width && record.every((cell) => cell === "")) continue;
      width ||= record.length;
      yield* blank;
      blank = [];
      yield line;
    }
  } catch (error) {
    throw readError(error, source, place, { head, delimiter });
  } finally {
    lines.destroy();
    input.destroy();
  }
}

/** What the parser and the file system say, in words. */
function readError(
  error: unknown,
  source: string | Readable,
  { name }: Place,
  { head, delimiter }: { head: string; delimiter: string },
): unknown {
  if (error instanceof CsvError) {
    const line = "lines" in error && typeof error.lines === "number" ? error.lines : 0;
    const where = `line ${line} of ${name}`;
    if (error.code === "CSV_QUOTE_NOT_CLOSED" || error.code === "CSV_MAX_RECORD_SIZE") {
      const what = `${where}: a cell begins with a quote (") that is not closed`;
      return new PushforwardError("format", `${what} before the end of the file: close it, or remove the quote`);
    }
    if (error.code === "INVALID_OPENING_QUOTE" || error.code === "CSV_INVALID_CLOSING_QUOTE")
      return new PushforwardError("format", `${where} has a quote (") within a cell: ${quoteAdvice(head, delimiter)}`);
    return new PushforwardError("format", `${name} cannot be read as a CSV: ${error.message}`);
  }
  // The system names no path for what it finds out only when it reads.
  if (error instanceof Error && "code" in error && !("path" in error) && typeof source === "string")
    return Object.assign(error, { path: source });
  return error;
}

/** What to do about quotes that do not stand where cells begin and end: those of another delimiter do not. */
function quoteAdvice(head: string, delimiter: string): string {
  const [names] = head.split(/\r\n|\n|\r/, 1);
  const bare = must(names, "a first line").replaceAll(/"[^"]*"/g, "");
  const other = [";", "\t", "|", ","].find((one) => one !== delimiter && bare.includes(one));
  if (other !== undefined && !bare.includes(delimiter)) return lowerFirst(delimiterHint(other));
  return "put the whole cell in quotes and write the inner quote twice";
}

function fits(record: readonly string[], { width, blank }: Selection): boolean {
  return record.length === width && (blank === undefined || record[blank] === "");
}

function firstFault(
  record: readonly string[],
  line: number,
  { names, indices }: Selection,
  place: Place,
  delimiter: string,
  beginning: Beginning | undefined,
): PushforwardError {
  const faulty = indices.findIndex((index) => !isDecimal(item(record, index)));
  const column =
    faulty < 0 ? indices.findIndex((index) => !Number.isFinite(Math.fround(Number(record[index])))) : faulty;
  const cell = item(record, item(indices, column));
  const hint = beginning && record.length === 1 ? otherDelimiter(beginning) : undefined;
  const ways = `, or leave such rows out with --skip-invalid${hint ? `. ${hint}` : ""}`;
  return cellError(place, delimiter, line, cell, item(names, column), ways);
}

/**
 * Reads all rows into one array; see {@link readCsvChunks}. Where cells are no numbers it reads on, so that the error names every
 * column that stands in the way and the options that choose the others.
 */
export async function readCsv(
  source: string | Readable,
  options: CsvOptions = {},
): Promise<CsvChunk & { survey: Survey }> {
  const { needs = { rows: 1, spread: false }, survey = new Survey(), skipInvalid = false, delimiter = "," } = options;
  const chunks: CsvChunk[] = [];
  for await (const chunk of readChunks(source, { ...options, survey }, true)) chunks.push(chunk);
  const last = chunks.at(-1);
  if (last === undefined) throw new PushforwardError("format", "the CSV is empty"); // There is always a chunk.
  survey.check(placeOf(source, options.reader), delimiter, skipInvalid, needs);
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  const data = new Float64Array(rows * last.columns.length);
  let position = 0;
  for (const chunk of chunks) {
    data.set(chunk.data, position);
    position += chunk.data.length;
  }
  return {
    ...last,
    data,
    rows,
    text: chunks.flatMap((chunk) => chunk.text),
    numbers: chunks.flatMap((chunk) => chunk.numbers),
    survey,
  };
}
