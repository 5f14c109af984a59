// Tables and pictures of the visitor's own.
import { darknessOfPicture } from "./drawing.ts";
import type { Target } from "./targets.ts";

/** A table of numbers: the columns that are numbers in most rows. */
export interface Table {
  readonly name: string;
  readonly columns: readonly { name: string; values: Float32Array }[];
}

const mostRows = 200_000;

/** The columns of numbers of a text with commas, semicolons or tabs; rows in which one of them is none are left out later. */
export function parseTable(name: string, text: string): Table {
  const lines = text.split(/\r?\n/, mostRows + 1).filter((line) => line.trim() !== "" && !line.startsWith("#"));
  const first = lines[0] ?? "";
  const marks = ["\t", ";", ","];
  const mark = marks.find((sign) => first.includes(sign)) ?? /\s+/;
  const cells = lines.map((line) => line.trim().split(mark));
  const number = (cell: string | undefined) => {
    const word = cell?.trim().replace(/^"(.*)"$/, "$1") ?? "";
    return word === "" ? Number.NaN : Number(word);
  };
  const head = cells[0] ?? [];
  const hasNames = head.some((cell) => Number.isNaN(number(cell)));
  const rows = hasNames ? cells.slice(1) : cells;
  const columns = head.map((cell, k) => ({
    name: hasNames ? cell.trim().replace(/^"(.*)"$/, "$1") : `column ${k + 1}`,
    values: Float32Array.from(rows, (row) => number(row[k])),
  }));
  const isNumeric = ({ values }: (typeof columns)[number]) =>
    values.filter((value) => Number.isFinite(value)).length > values.length / 2;
  return { name, columns: columns.filter(isNumeric) };
}

/** Two columns of a table, without the rows in which one is no number. */
export function tableTarget(table: Table, x: number, y: number): Target {
  const [across, up] = [table.columns[x]?.values, table.columns[y]?.values];
  const points: number[] = [];
  if (across && up)
    for (const [row, value] of across.entries()) {
      const other = up[row] as number;
      if (Number.isFinite(value) && Number.isFinite(other)) points.push(value, other);
    }
  return { kind: "table", name: table.name, points: Float32Array.from(points) };
}

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
      `${file.name} has ${table.columns.length} columns of numbers, but a flow in the plane needs two: open a CSV with two or more`,
    );
  return table;
}
