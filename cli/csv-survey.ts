import { PushforwardError } from "../src/errors.ts";
import { must } from "../src/must.ts";
import { type CellFault, faultIn, isMissing, numberIn } from "./csv-cell.ts";
import { columnsOption } from "./csv-shape.ts";
import { type Place, shown } from "./csv-text.ts";
import { count } from "./report.ts";

/** What was seen of a column, in rows that are used and in those that are not. */
interface Tally {
  readonly name: string;
  numbers: number;
  missing: number;
  /** Cells that are neither. */
  others: number;
  firstMissing: { cell: string; line: number } | undefined;
  example: { cell: string; line: number; fault: CellFault } | undefined;
  least: number;
  greatest: number;
  /** Whether each number is as much more than that before it, by a whole number. */
  counts: boolean;
  step: number;
  last: number;
  isWhole: boolean;
  /** Whole numbers so large that different ones may be the same f64: the first of them, and whether others are written differently. */
  large: { text: string; isOnly: boolean } | undefined;
}

/** What a table is needed for. */
export interface Needs {
  /** Rows without which nothing can be done. */
  readonly rows: number;
  /** Whether a column of equal numbers is of no use. */
  readonly spread: boolean;
}

/** Different sets of columns that are faulty in a row, of which this many are told apart. */
const mostPatterns = 4096;
const mostLines = 12;

/** Sees whether numbers go on as those of a counter. */
function follow(tally: Tally, value: number): void {
  if (tally.isWhole && !Number.isInteger(value)) tally.isWhole = false;
  if (tally.counts && tally.numbers > 1) {
    if (tally.numbers === 2) tally.step = value - tally.last;
    tally.counts = tally.isWhole && tally.step > 0 && value === tally.last + tally.step;
  }
  tally.last = value;
}

/** Whether a column numbers its rows, or things: nothing that could be learned. */
function isLabel({ name, counts, numbers, isWhole }: Tally): boolean {
  return (
    (counts && numbers > 2) ||
    (isWhole && /(^|[\s_.-])(id|uuid|key)$/i.test(name)) ||
    (isWhole && /[a-z]I[dD]$/.test(name))
  );
}

/** Counts, column by column, what keeps the rows of a table from being numbers, so that all of it can be told at once. */
export class Survey {
  rows = 0;
  /** Rows of another number of cells than there are names. */
  misfits = 0;
  #firstMisfit: PushforwardError | undefined;
  #columns: Tally[] = [];
  #hint: string | undefined;
  /** How many rows are faulty in exactly these columns, given by their numbers with commas between. */
  readonly #patterns = new Map<string, number>();

  /** @param hint what may be wrong with the whole file when cells turn out not to be numbers */
  begin(names: readonly string[], hint: string | undefined): void {
    this.#hint = hint;
    this.#columns = names.map((name) => ({
      name,
      numbers: 0,
      missing: 0,
      others: 0,
      firstMissing: undefined,
      example: undefined,
      least: Number.POSITIVE_INFINITY,
      greatest: Number.NEGATIVE_INFINITY,
      counts: true,
      step: Number.NaN,
      last: Number.NaN,
      isWhole: true,
      large: undefined,
    }));
  }

  addMisfit(fault: PushforwardError): void {
    this.rows++;
    this.misfits++;
    this.#firstMisfit ??= fault;
  }

  /** Takes the cells of a row; true when all of them are numbers, which then stand in `data` from `offset` on. */
  addRow(
    record: readonly string[],
    indices: readonly number[],
    line: number,
    data: Float64Array,
    offset: number,
  ): boolean {
    this.rows++;
    let pattern = "";
    for (let i = 0; i < indices.length; i++) {
      const cell = record[indices[i] as number];
      const value = numberIn(cell);
      const tally = this.#columns[i];
      if (tally === undefined) break;
      if (Number.isNaN(value)) {
        pattern += `${i},`;
        if (isMissing(cell)) {
          tally.missing++;
          tally.firstMissing ??= { cell: cell ?? "", line };
        } else {
          tally.others++;
          // one text among what looks like truth values or dates makes the column text: it is told by that cell
          if (tally.example?.fault.kind !== "text") {
            const fault = faultIn(cell);
            if (tally.example === undefined || fault.kind === "text") tally.example = { cell: cell ?? "", line, fault };
          }
        }
        continue;
      }
      data[offset + i] = value;
      tally.numbers++;
      if (value < tally.least) tally.least = value;
      if (value > tally.greatest) tally.greatest = value;
      follow(tally, value);
      if (Math.abs(value) > Number.MAX_SAFE_INTEGER && cell !== undefined) {
        tally.large ??= { text: cell, isOnly: true };
        if (cell !== tally.large.text) tally.large.isOnly = false;
      }
    }
    if (pattern === "") return true;
    if (this.#patterns.has(pattern) || this.#patterns.size < mostPatterns)
      this.#patterns.set(pattern, (this.#patterns.get(pattern) ?? 0) + 1);
    return false;
  }

  /** Cells that are no numbers. */
  get faults(): number {
    return this.#columns.reduce((sum, { missing, others }) => sum + missing + others, 0);
  }

  /** Rows that the columns' faults leave, of those that fit; undefined when there were too many sets of them to count. */
  #complete(columns: readonly number[]): number | undefined {
    if (this.#patterns.size >= mostPatterns) return undefined;
    let faulty = 0;
    for (const [pattern, rows] of this.#patterns) {
      const faults = pattern.split(",");
      if (columns.some((column) => faults.includes(String(column)))) faulty += rows;
    }
    return this.rows - this.misfits - faulty;
  }

  /** Columns that only number rows or things, where there are others. */
  get labels(): string[] {
    const labels = this.#columns.filter(isLabel).map(({ name }) => name);
    return labels.length < this.#columns.length ? labels : [];
  }

  /** Why rows were left out, as in "discount: 3, price: 1". */
  reasons(): string {
    const parts = this.#columns
      .filter(({ missing, others }) => missing + others > 0)
      .sort((a, b) => b.missing + b.others - a.missing - a.others)
      .map(({ name, missing, others }) => `"${name}": ${count(missing + others)}`);
    if (parts.length > 5) parts.splice(5, parts.length, `${parts.length - 5} more columns`);
    if (this.misfits > 0) parts.push(`another number of cells: ${count(this.misfits)}`);
    return parts.join(", ");
  }

  /** Throws where rows that had to be left out were most of those that do not fit the names: the file is read wrongly. */
  checkMisfits(): void {
    if (this.#firstMisfit && this.misfits * 2 > this.rows) throw this.#firstMisfit;
  }

  /**
   * Throws, naming every column that stands in the way, unless the table is numbers; with `skipInvalid` only where the rows left
   * are not enough. The error ends with the options that choose the columns that can be used.
   */
  check(place: Place, delimiter: string, skipInvalid: boolean, needs: Needs): void {
    this.checkMisfits();
    const left = this.#complete(this.#columns.map((_, i) => i)) ?? Number.POSITIVE_INFINITY;
    const isUseless = (column: Tally) => needs.spread && column.numbers > 1 && column.least === column.greatest;
    const constants = this.#columns.filter(isUseless);
    const isShort = skipInvalid && left < needs.rows && this.faults > 0;
    if (!isShort && constants.length === 0 && (skipInvalid || this.faults === 0)) return;
    const single = this.faults === 1 && constants.length === 0 && !skipInvalid;
    if (single) throw this.#single(place, delimiter, needs);
    const lines = this.#columns.flatMap((column) => this.#describe(column, isUseless(column)));
    if (lines.length > mostLines) lines.splice(mostLines, lines.length, `and ${lines.length - mostLines} more columns`);
    const head = isShort
      ? `--skip-invalid leaves ${count(left)} of ${count(this.rows)} rows of ${place.name}, because of`
      : `${place.name} has columns that cannot be used as they are`;
    const text = [`${head}:`, ...lines.map((line) => `  ${line}`)];
    const second = this.#secondHeader();
    if (this.#hint) text.push(`${this.#hint}.`);
    else if (second !== undefined)
      text.push(
        `Is line ${second} another line of names, or one of units? Leave it out: sed ${second}d ${place.file} | ${place.reader} …`,
      );
    else text.push(...this.#remedies(place, delimiter), ...this.#ways(needs));
    throw new PushforwardError("format", text.join("\n"));
  }

  #single(place: Place, delimiter: string, { rows }: Needs): PushforwardError {
    const column = this.#columns.find(({ missing, others }) => missing + others > 0);
    const { cell, line } = must(column?.example ?? column?.firstMissing, "the cell that is no number");
    const leave = this.rows - 1 >= rows ? ", or leave such rows out with --skip-invalid" : "";
    const ways = this.#hint ? `. ${this.#hint}` : leave;
    return cellError(place, delimiter, line, cell, must(column?.name, "its column"), ways);
  }

  /** A line that is text in every column, while all others are numbers or missing. */
  #secondHeader(): number | undefined {
    const [first] = this.#columns;
    const line = first?.example?.line;
    const isText = ({ others, example }: Tally) =>
      others === 1 && example?.line === line && example?.fault.kind === "text";
    return this.#columns.length > 1 && this.#columns.every(isText) ? line : undefined;
  }

  #describe(
    { name, numbers, missing, others, firstMissing, example, least, large }: Tally,
    isConstant: boolean,
  ): string[] {
    const rows = this.rows - this.misfits;
    const share = (cells: number) =>
      cells === rows ? `all ${count(rows)} rows` : `${count(cells)} of ${count(rows)} rows`;
    const parts: string[] = [];
    if (example)
      parts.push(`${shown(example.cell)} in line ${example.line} is ${example.fault.kind} (such in ${share(others)})`);
    if (missing > 0)
      parts.push(
        missing === rows
          ? "has no values"
          : `misses values in ${share(missing)}, first ${firstMissing?.cell ? `${shown(firstMissing.cell)} ` : ""}in line ${firstMissing?.line}`,
      );
    if (isConstant && large?.isOnly === false)
      parts.push(
        `is whole numbers such as ${large.text}, which are too long to be told apart: f64 holds 15 digits of them`,
      );
    else if (isConstant)
      parts.push(numbers === rows ? `is ${least} in ${share(numbers)}` : `is ${least} wherever it is a number`);
    return parts.length === 0 ? [] : [`${shown(name)}: ${parts.join("; ")}`];
  }

  /** What mends the cells of columns that would be numbers but for their spelling, each said once. */
  #remedies({ file, reader }: Place, delimiter: string): string[] {
    const advices = new Map<string, { way: string; names: string[] }>();
    for (const { name, example } of this.#columns) {
      const remedy = example?.fault.remedy;
      if (!remedy) continue;
      // In a file that is separated by commas the filter would take these, too.
      const filter = remedy.filter?.startsWith("tr ,") && delimiter === "," ? undefined : remedy.filter;
      const option = delimiter === "," ? "" : ` --delimiter ${delimiter === "\t" ? "tab" : `'${delimiter}'`}`;
      const way = filter ? ` (${filter} < ${file} | ${reader}${option} …)` : "";
      const found = advices.get(remedy.advice);
      if (found) found.names.push(shown(name));
      else advices.set(remedy.advice, { way, names: [shown(name)] });
    }
    return [...advices].map(([advice, { way, names }]) => {
      const some = names.length > 3 ? [...names.slice(0, 2), `${names.length - 2} more`] : names;
      return `To use ${some.length === 1 ? some[0] : `${some.slice(0, -1).join(", ")} or ${some.at(-1)}`}, ${advice}${way}.`;
    });
  }

  /** The options that choose what can be used. */
  #ways(needs: Needs): string[] {
    const rows = this.rows - this.misfits;
    const numbered = [...this.#columns.entries()];
    const isConstant = (column: Tally) => needs.spread && column.least === column.greatest;
    const usable = numbered.filter(([, c]) => c.numbers > (c.numbers + c.others) / 2 && !isConstant(c));
    const whole = usable.filter(([, c]) => c.missing + c.others === 0);
    const counters = usable.length > 1 ? usable.filter(([, c]) => isLabel(c)) : [];
    const chosen = whole.filter((entry) => !counters.includes(entry));
    const gaps = usable
      .filter((entry) => !whole.includes(entry) && !counters.includes(entry) && entry[1].numbers >= rows / 2)
      .sort(([, a], [, b]) => b.numbers - a.numbers);
    const lines: string[] = [];
    const option = (entries: typeof numbered) =>
      columnsOption([...entries].sort(([a], [b]) => a - b).map(([, { name }]) => name));
    const left = counters.map(([, { name }]) => `"${name}"`).join(", ");
    const note =
      left === ""
        ? ""
        : ` (without ${left}, which only ${counters.length === 1 ? "numbers" : "number"} rows or things)`;
    if (chosen.length > 0 && rows >= needs.rows)
      lines.push(`Columns that are numbers in all rows${note}:`, `  ${option(chosen)}`);
    // As many columns with gaps as leave at least half of the rows.
    let kept = chosen;
    let complete = rows;
    for (const gap of gaps) {
      const more = [...kept, gap];
      const remaining = this.#complete(more.map(([i]) => i));
      if (remaining === undefined || remaining < Math.max(needs.rows, rows / 2)) continue;
      kept = more;
      complete = remaining;
    }
    if (kept.length > chosen.length)
      lines.push(
        `${chosen.length > 0 ? "With" : "Columns with"} gaps, ${count(complete)} of ${count(rows)} rows:`,
        `  ${option(kept)} --skip-invalid`,
      );
    if (lines.length === 0 && !this.#columns.some(({ example }) => example?.fault.remedy))
      lines.push("No column of them is numbers that can be used: correct the file.");
    return lines;
  }
}

/** The error for one cell that is no number. */
export function cellError(
  { name, file, reader }: Place,
  delimiter: string,
  line: number,
  cell: string,
  column: string,
  ways: string,
): PushforwardError {
  const { kind, remedy } = faultIn(cell);
  const isBeyond = kind.startsWith("a number beyond");
  const what = kind === "text" || kind === "missing" || isBeyond ? "" : ` (${kind})`;
  const expected = isBeyond ? "a number within the range of f32 (about ±3.4e38)" : "a number";
  const filter = remedy?.filter?.startsWith("tr ,") && delimiter === "," ? undefined : remedy?.filter;
  const mend = remedy ? remedy.advice + (filter ? ` (${filter} < ${file} | ${reader} …)` : "") : "correct it";
  return new PushforwardError(
    "format",
    `line ${line} of ${name} has ${shown(cell)}${what} in column "${column}", but ${expected} is expected: ${mend}${ways}`,
  );
}
