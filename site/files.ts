// Tables and pictures of the visitor's own.
import { darknessOfPicture } from "./drawing.ts";
import type { Target } from "./targets.ts";

/** A table of numbers: the columns that are numbers in most rows. */
export interface Table {
  readonly name: string;
  readonly columns: readonly { name: string; values: Float64Array }[];
}

const mostRows = 200_000;

/** The cells of a line, without quotes; between them a mark divides nothing. Without a mark, blanks divide. */
function cellsOf(line: string, mark: string | undefined): string[] {
  const cells = [""];
  let isQuoted = false;
  for (const letter of mark === undefined ? line.trim().replace(/\s+/g, " ") : line) {
    if (letter === '"') isQuoted = !isQuoted;
    else if (letter === (mark ?? " ") && !isQuoted) cells.push("");
    else cells[cells.length - 1] += letter;
  }
  return cells.map((cell) => cell.trim());
}

/** What divides the cells of a line outside of quotes; undefined: blanks. */
function markOf(line: string): string | undefined {
  const words = line.trim().split(/\s+/);
  // 0,5 1,5 are two numbers, not three
  if (words.length > 1 && words.every((word) => /^[-+]?\d+(,\d+)?$/.test(word))) return undefined;
  return ["\t", ";", ","].find((sign) => cellsOf(line, sign).length > 1);
}

const missing = /^(|na|n\/a|nan|null|none|\?|-)$/i;
const hundreds = /^[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$/;
const manyHundreds = /,.*[,.]/;

/**
 * The columns of numbers of a text with commas, semicolons, tabs or blanks; rows in which one of them is none are left out later. A comma
 * within a number is decimal, but where it can only stand between hundreds and thousands.
 */
export function parseTable(name: string, text: string): Table {
  const lines = text.split(/\r\n|\r|\n/, mostRows + 1).filter((line) => line.trim() !== "" && !line.startsWith("#"));
  const mark = markOf(lines[0] ?? "");
  const cells = lines.map((line) => cellsOf(line, mark));
  const withCommas = cells.flatMap((row) => row.filter((cell) => /^[-+]?\d[\d.]*,\d[\d.,]*$/.test(cell)));
  // 1,234 alone may be both: what divides by commas is of a country with decimal points
  const isGrouped =
    withCommas.every((cell) => hundreds.test(cell)) &&
    (mark === "," || withCommas.some((cell) => manyHundreds.test(cell)));
  const number = (cell: string | undefined) => {
    if (!cell) return Number.NaN;
    if (!cell.includes(",")) return Number(cell);
    if (isGrouped) return Number(cell.replaceAll(",", ""));
    return Number(cell.replace(/\.(?=\d{3}[.,])/g, "").replace(/^([^,.]*),([^,.]*)$/, "$1.$2"));
  };
  const isNumeric = (values: Float64Array) =>
    values.filter((value) => Number.isFinite(value)).length > values.length / 2;
  const column = (rows: readonly string[][], k: number) => Float64Array.from(rows, (row) => number(row[k]));
  const [first = [], ...others] = cells;
  // R's write.table has no name above those of the rows
  const isShort = others.length > 0 && others.every((row) => row.length === first.length + 1 && row.at(-1) !== "");
  const head = isShort ? ["row", ...first] : first;
  // names stand above numbers: a first row of data may have words in other columns, and may lack a number
  const hasNames = head.some(
    (cell, k) => !missing.test(cell) && Number.isNaN(number(cell)) && isNumeric(column(others, k)),
  );
  const rows = hasNames ? others : cells;
  const columns = head.map((cell, k) => ({ name: hasNames ? cell : `column ${k + 1}`, values: column(rows, k) }));
  return { name, columns: columns.filter(({ values }) => isNumeric(values)) };
}

/** One picture has room for both, if neither spreads this much more than the other. */
const mostUnequal = 5;
/** Standard deviations that numbers may lie away from 0. */
const farthest = 1e4;
/** A device calculates in f32, where much larger numbers have no squares. */
const mostOfSize = 1e12;

/**
 * Two columns of a table, without the rows in which one is no number; in standard deviations about their means, where one of them
 * spreads much more than the other, or far from 0. Throws in words where a column does not spread at all.
 */
export function tableTarget(table: Table, x: number, y: number): Target {
  const chosen = [table.columns[x], table.columns[y]].filter((column) => column !== undefined);
  const isWhole = (row: number) => chosen.every(({ values }) => Number.isFinite(values[row]));
  const rows = Array.from(chosen[0]?.values.keys() ?? []).filter(isWhole);
  const columns = chosen.map(({ name, values }) => {
    const own = rows.map((row) => values[row] as number);
    // of the largest number, since squares of 1e300 and of 1e-300 are none
    const unit = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    const meanOf = (part: (value: number) => number) =>
      own.reduce((sum, value) => sum + part(value / unit), 0) / Math.max(1, own.length);
    const centre = meanOf((value) => value);
    const mean = unit * centre;
    const deviation = unit * Math.sqrt(meanOf((value) => (value - centre) ** 2));
    // of 0.1 again and again the mean is another number
    if (own.length > 1 && own.every((value) => value === own[0]))
      throw new Error(`“${name}” is ${own[0]} in all rows, so there is nothing to learn of it: choose another column`);
    return { name, own, mean, deviation };
  });
  const spreads = columns.map(({ deviation }) => deviation);
  const isScaled =
    Math.max(...spreads) > mostUnequal * Math.min(...spreads) ||
    columns.some(({ mean, deviation }) => Math.abs(mean) > farthest * deviation) ||
    !spreads.every((spread) => spread > 1 / mostOfSize && spread < mostOfSize);
  const points = Float32Array.from({ length: 2 * rows.length }, (_, i) => {
    const { own, mean, deviation } = columns[i % 2] as (typeof columns)[number];
    const value = own[i >> 1] as number;
    return isScaled ? (value - mean) / deviation : value;
  });
  if (!isScaled) return { kind: "table", name: table.name, points };
  const words = columns.map(({ name, mean, deviation }) => `${name} is ${short(mean)} ± ${short(deviation)}`);
  const units = `In standard deviations about the mean: ${words.join(", ")}.`;
  return { kind: "table", name: table.name, points, units };
}

const short = (value: number) => Number(value.toPrecision(4)).toString().replaceAll("-", "−");

/** What a file holds; throws in words where that is nothing to learn. */
export async function readFile(file: File): Promise<Table | Target> {
  if (file.type.startsWith("image/")) {
    const darkness = await darknessOfPicture(file).catch(() => {
      throw new Error(`${file.name} cannot be read as a picture: try a PNG or a JPEG`);
    });
    return { kind: "picture", name: file.name, darkness };
  }
  const table = parseTable(file.name, await file.text());
  if (table.columns.length < 2)
    throw new Error(
      `${file.name} has ${["no column", "one column"][table.columns.length]} of numbers, but a flow in the plane needs two: open a CSV with two or more`,
    );
  return table;
}
