import { invalid, PushforwardError } from "../src/errors.ts";
import { hint } from "../src/options.ts";
import { isDecimal, isMissing } from "./csv-cell.ts";
import { type Place, shellWord, shown } from "./csv-text.ts";

/** Which cells of a line are read, and how many there must be. */
export interface Selection {
  /** Names of the columns that are read. */
  readonly names: readonly string[];
  readonly indices: readonly number[];
  /** Names of all columns. */
  readonly all: readonly string[];
  /** Cells of each line of data. */
  readonly width: number;
  /** The cell that each line leaves empty, behind its last delimiter. */
  readonly blank?: number | undefined;
}

/** What is known of a file when its first line of data has come. */
export interface Beginning {
  readonly place: Place;
  readonly delimiter: string;
  /** The line of names; undefined when there is none. */
  readonly header: readonly string[] | undefined;
  /** The line of the file that the names are in. */
  readonly headerLine: number;
  /** The first line of data, where there is one. */
  readonly first: readonly string[] | undefined;
  readonly wanted: readonly string[] | undefined;
  /** How many columns are read where none are wanted by name; undefined: all. */
  readonly limit: number | undefined;
}

/** A name as `--columns` takes it: in quotes where it has a comma, a quote or blanks around it. */
export function columnWord(name: string): string {
  return /[",\r\n]|^\s|\s$|^$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}

/** The option that chooses these columns, as a shell takes it. */
export function columnsOption(names: readonly string[]): string {
  return `--columns ${shellWord(names.map(columnWord).join(","))}`;
}

/** Finds the wanted columns; throws where the names are wrong, missing, or not clear. */
export function selectColumns(beginning: Beginning): Selection {
  const { place, header, first, wanted, limit, headerLine } = beginning;
  const line = header ?? first ?? [];
  const names = header ?? line.map((_, i) => String(i + 1));
  // A delimiter at the end of every line, with nothing behind it, ends no column.
  const isOpen = first !== undefined && first.length > 1 && first.at(-1) === "";
  const isClosed = header !== undefined && names.length > 1 && names.at(-1) === "";
  const extra = header && isOpen && first.length === names.length + 1 ? 1 : 0;
  const own =
    isClosed && (first === undefined || (isOpen && first.length === names.length)) ? names.slice(0, -1) : names;
  const width = names.length + extra;
  const blank = extra > 0 || own.length < names.length ? width - 1 : undefined;
  if (wanted === undefined) {
    const read = own.slice(0, limit);
    const unnamed = read.indexOf("");
    if (unnamed >= 0) throw withoutName(unnamed, own, beginning);
    const twice = read.find((name, i) => read.indexOf(name) !== i);
    if (twice !== undefined) throw calledTwice(twice, own, place, headerLine);
    return { names: read, indices: read.map((_, i) => i), all: names, width, blank };
  }
  const isTwice = (name: string) => name !== "" && names.indexOf(name) !== names.lastIndexOf(name);
  const missing = wanted.find((name) => !names.includes(name));
  // Where names are not clear, that comes before one that is not there.
  const twice = wanted.find(isTwice) ?? (missing === undefined ? undefined : names.find(isTwice));
  if (twice !== undefined) throw calledTwice(twice, names, place, headerLine);
  if (missing !== undefined) throw missingColumn(missing, beginning, names);
  const indices = wanted.map((name) => names.indexOf(name));
  return { names: wanted, indices, all: names, width, blank: extra > 0 ? width - 1 : undefined };
}

/** Throws when the line of names looks like one of numbers. */
export function checkNames({ place, header = [], headerLine }: Beginning): void {
  const numbers = header.filter(isDecimal);
  const fraction = numbers.find((cell) => !/^\d+$/.test(cell));
  if (numbers.length === 0 || (numbers.length < header.length && fraction === undefined)) return;
  const what = numbers.length === header.length ? "is numbers" : `has "${fraction}" where a name is expected`;
  throw new PushforwardError(
    "format",
    `line ${headerLine} of ${place.name} ${what}: for a file without a line of names add --no-header; if these are the names, add --header`,
  );
}

function withoutName(index: number, names: readonly string[], { place, headerLine }: Beginning): PushforwardError {
  const named = names.filter((name, i) => name !== "" && names.indexOf(name) === i);
  const isRowNames = index === 0 && named.length === names.length - 1;
  const why = isRowNames ? " (row names, as R and pandas write them?)" : "";
  const isTitle = names[0] !== "" && named.length < names.length / 2 + 0.5;
  const title = isTitle
    ? `; if that line is a title, begin with the line of names: ${fromLine(place, headerLine + 1)}`
    : "";
  return new PushforwardError(
    "format",
    `line ${headerLine} of ${place.name} has no name for column ${index + 1}${why}: ` +
      (named.length > 0 ? `choose columns, as in ${columnsOption(named)}, or name it` : "name it") +
      title,
  );
}

function fromLine({ file, reader }: Place, line: number): string {
  return `tail -n +${line} ${file} | ${reader} …`;
}

function calledTwice(name: string, names: readonly string[], place: Place, line: number): PushforwardError {
  const single = names.filter((other) => names.indexOf(other) === names.lastIndexOf(other) && other !== "");
  const choice = single.length > 0 ? `, or choose among the others: ${columnsOption(single)}` : "";
  const positions = names.flatMap((other, i) => (other === name ? [i + 1] : []));
  const all = `${positions.slice(0, -1).join(", ")} and ${positions.at(-1)}`;
  return new PushforwardError(
    "format",
    `${place.name} has ${positions.length === 2 ? "two" : positions.length} columns called "${name}", the columns ${all}: rename one of them in line ${line}${choice}`,
  );
}

function missingColumn(name: string, beginning: Beginning, names: readonly string[]): PushforwardError {
  const { place, header, first } = beginning;
  const torn = names.find((other) => other.split(",").some((part) => part.trim() === name));
  const way =
    torn !== undefined
      ? `, but "${torn}": a name with a comma goes in quotes, as in ${columnsOption([torn])}.`
      : hint(name, name.length > 1 ? names : [], ".");
  const line = header ?? first ?? [];
  const bare =
    header !== undefined && line.every(isDecimal)
      ? " Its first line is numbers: for a file without names add --no-header."
      : header === undefined
        ? " With --no-header columns are called by their numbers."
        : "";
  const fits = names.length === 1 ? otherDelimiter(beginning) : undefined;
  const other = fits === undefined ? "" : ` ${fits}.`;
  return invalid(
    `${place.name} has no column "${name}"${way} It has: ${names.map(columnWord).join(", ")}.${bare}${other}`,
  );
}

const delimiterNames: Record<string, string> = { "\t": "a tab", ";": ";", "|": "|", ",": "a comma", " ": "a blank" };

/** The option that names a delimiter. */
function delimiterOption(delimiter: string): string {
  return `--delimiter ${delimiter === "\t" ? "tab" : delimiter === "," ? "," : `'${delimiter}'`}`;
}

export function delimiterHint(other: string): string {
  return `Its cells seem to be separated by ${delimiterNames[other]}: add ${delimiterOption(other)}`;
}

/** What says that another delimiter would fit, where one splits the names and the first line of data alike. */
export function otherDelimiter({ delimiter, header, first }: Beginning): string | undefined {
  const lines = [header, first].filter((line) => line !== undefined).map((line) => line.join(delimiter));
  for (const other of ["\t", ";", "|", ",", " "]) {
    if (other === delimiter) continue;
    const counts = lines.map((line) => line.split(other).length);
    const [count] = counts;
    if (count === undefined || count < 2 || counts.some((one) => one !== count)) continue;
    const sample = lines
      .at(-1)
      ?.split(other)
      .find((cell) => isDecimal(cell.trim()) || /^\s*[+-]?\d*,\d+\s*$/.test(cell));
    if (lines.length === 2 && sample === undefined) continue;
    const comma =
      sample !== undefined && !isDecimal(sample.trim())
        ? ", with decimal commas as they are; they must become points"
        : "";
    return `${delimiterHint(other)}${comma}`;
  }
  return undefined;
}

/** The error for a line that has more or fewer cells than there are names, with what may be the cause. */
export function misfit(
  cells: readonly string[],
  line: number,
  selection: Selection,
  beginning: Beginning,
): PushforwardError {
  const { place, header, headerLine } = beginning;
  const { width } = selection;
  const expected =
    header === undefined
      ? `the first line has ${width}`
      : `line ${headerLine} has ${header.length} ${header.length === 1 ? "name" : "names"}`;
  const got = cells.length === 1 ? "1 cell" : `${cells.length} cells`;
  return new PushforwardError(
    "format",
    `line ${line} of ${place.name} has ${got}, but ${expected}: ${causes(cells, selection, beginning).join("; ")}`,
  );
}

function causes(cells: readonly string[], { width, all }: Selection, beginning: Beginning): string[] {
  const { place, header, headerLine, first } = beginning;
  const { file, reader } = place;
  const found: string[] = [];
  const comment = /^(#|%|\/\/|!)/;
  if (comment.test(cells[0] ?? "") || comment.test(header?.[0] ?? "")) {
    const sign = comment.exec(cells[0] ?? "")?.[0] ?? comment.exec(header?.[0] ?? "")?.[0] ?? "#";
    found.push(
      `lines that begin with ${sign} are not taken as comments: leave them out (grep -v '^${sign}' ${file} | ${reader} …)`,
    );
    return found;
  }
  const isFirst = first === cells;
  if (cells.length < width) {
    if (isFirst || cells.length > 1)
      found.push("give each line as many cells as there are names, empty ones for what is missing");
    else found.push("is it a note, or was the line cut off? remove or complete it");
    if (!isFirst) found.push("or leave such rows out with --skip-invalid");
    return found;
  }
  const fits = isFirst && width === 1 ? otherDelimiter(beginning) : undefined;
  if (fits !== undefined) return [lowerFirst(fits)];
  const torn = splitNumber(cells, width);
  if (torn !== undefined) found.push(torn);
  // A line of names behind the one that was taken for it, or more cells than row names explain.
  const isNames = !cells.some((cell) => isDecimal(cell) || isMissing(cell));
  const isTitle = isNames || (width === 1 && (cells.length > 2 || /\s/.test(header?.[0] ?? "")));
  if (header && isFirst && isTitle) {
    const title = shown(header.join(beginning.delimiter));
    found.push(
      `if line ${headerLine} (${title}) is a title, begin with the line of names (${fromLine(place, headerLine + 1)})${cells.every(isDecimal) ? ", and where there is none add --no-header" : ""}`,
    );
  } else if (header && isFirst && cells.length === width + 1 && torn === undefined) {
    found.push(
      `does each line begin with a name of its row, as R writes it? give that column a name: sed '${headerLine}s/^/row${beginning.delimiter}/' ${file} | ${reader} ${columnsOption(all)} …`,
    );
  }
  if (found.length === 0 || !isFirst) found.push("text with a comma in it must be in quotes");
  if (!isFirst) found.push("or leave such rows out with --skip-invalid");
  return found;
}

/** What may have torn numbers into several cells. */
function splitNumber(cells: readonly string[], width: number): string | undefined {
  const isWhole = (cell: string) => /^[+-]?\d+$/.test(cell);
  const isThousands = cells.some(
    (cell, i) => /^[+-]?[1-9]\d{0,2}$/.test(cell) && /^\d{3}(\.\d+)?$/.test(cells[i + 1] ?? ""),
  );
  if (
    cells.length <= 2 * width &&
    cells.length > width &&
    cells.every((cell) => isWhole(cell) || /^\d+[eE][+-]?\d+$/.test(cell))
  )
    return "are there decimal commas? a number such as 0,31 is two cells here: write 0.31, or separate the cells by ; and see --delimiter";
  if (isThousands)
    return "are there thousands separators? a number such as 1,234.5 is two cells here: write 1234.5, or put it in quotes and leave the comma out";
  return undefined;
}

export function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
