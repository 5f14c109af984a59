// Tables and pictures of the visitor's own.
import { darknessOfPicture } from "./drawing.ts";
import type { Target } from "./targets.ts";

/** A table of numbers: the columns that are numbers in most rows. */
export interface Table {
  readonly name: string;
  readonly columns: readonly { name: string; values: Float64Array }[];
}

const mostRows = 200_000;

/** The cells of a line, without quotes; between them a mark divides nothing. */
function cellsOf(line: string, mark: string | undefined): string[] {
  if (mark === undefined) return line.trim().split(/\s+/);
  const cells = [""];
  let isQuoted = false;
  for (const letter of line) {
    if (letter === '"') isQuoted = !isQuoted;
    else if (letter === mark && !isQuoted) cells.push("");
    else cells[cells.length - 1] += letter;
  }
  return cells.map((cell) => cell.trim());
}

/** The columns of numbers of a text with commas, semicolons or tabs; rows in which one of them is none are left out later. */
export function parseTable(name: string, text: string): Table {
  const lines = text.split(/\r?\n/, mostRows + 1).filter((line) => line.trim() !== "" && !line.startsWith("#"));
  const first = lines[0] ?? "";
  const mark = ["\t", ";", ","].find((sign) => first.includes(sign));
  const cells = lines.map((line) => cellsOf(line, mark));
  // where commas divide nothing they may be decimal
  const isDecimal = mark !== ",";
  const number = (cell: string | undefined) => {
    if (!cell) return Number.NaN;
    return Number(isDecimal ? cell.replace(/^([^,.]*),([^,.]*)$/, "$1.$2") : cell);
  };
  const head = cells[0] ?? [];
  const hasNames = head.some((cell) => Number.isNaN(number(cell)));
  const rows = hasNames ? cells.slice(1) : cells;
  const columns = head.map((cell, k) => ({
    name: hasNames ? cell : `column ${k + 1}`,
    values: Float64Array.from(rows, (row) => number(row[k])),
  }));
  const isNumeric = ({ values }: (typeof columns)[number]) =>
    values.filter((value) => Number.isFinite(value)).length > values.length / 2;
  return { name, columns: columns.filter(isNumeric) };
}

/** One picture has room for both, if neither spreads this much more than the other. */
const mostUnequal = 5;
/** Standard deviations that numbers may lie away from 0. */
const farthest = 1e4;

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
    const mean = own.reduce((sum, value) => sum + value, 0) / Math.max(1, own.length);
    const deviation = Math.sqrt(own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, own.length));
    if (own.length > 1 && deviation === 0)
      throw new Error(`“${name}” is ${own[0]} in all rows, so there is nothing to learn of it: choose another column`);
    return { name, own, mean, deviation };
  });
  const spreads = columns.map(({ deviation }) => deviation);
  const isScaled =
    Math.max(...spreads) > mostUnequal * Math.min(...spreads) ||
    columns.some(({ mean, deviation }) => Math.abs(mean) > farthest * deviation);
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
