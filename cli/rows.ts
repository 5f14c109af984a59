import type { Normalization } from "../src/data/normalization.ts";
import type { DataUnits } from "../src/data/transform-maps.ts";
import { item } from "../src/must.ts";

/** Columns of a file that is written, some of its rows: numbers or text. */
export type Block = NumberBlock | TextBlock;

export interface NumberBlock {
  /** Row-major [rows, width]. */
  readonly data: Float32Array | Float64Array;
  readonly width: number;
  /** Of samples in f64, mean + scale·x with an x of f32: what says how many of their digits are known. */
  readonly normalization?: Normalization | undefined;
}

/** What tells the digits of a flow's samples; in a transform's space, and without a normalization, they have them from 0. */
export function digitsOf({ normalization, transform }: DataUnits, width: number): Normalization {
  if (normalization && !transform) return normalization;
  return { mean: new Array(width).fill(0), scale: new Array(width).fill(1) };
}

interface TextBlock {
  /** The cells of each row. */
  readonly text: readonly (readonly string[])[];
}

/** Header line of a CSV. */
export function csvHeader(names: readonly string[]): string {
  return `${names.map(csvCell).join(",")}\n`;
}

/** A cell as RFC 4180 says: with a comma, a quote, a line break, or blanks that a reader would take off, it is in quotes. */
function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lines of a CSV from blocks of equally many rows, put side by side. */
export function csvRows(blocks: readonly Block[], rows: number): string {
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    const cells: string[] = [];
    for (const block of blocks) {
      if ("text" in block) cells.push(...item(block.text, row).map(csvCell));
      else for (let column = 0; column < block.width; column++) cells.push(numberText(block, row, column));
    }
    lines.push(cells.join(","));
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function numberText({ data, width, normalization }: NumberBlock, row: number, column: number): string {
  const value = item(data, row * width + column);
  if (data instanceof Float32Array) return shortest(value);
  if (normalization === undefined) return String(value);
  return sampleText(value, item(normalization.mean, column), item(normalization.scale, column));
}

/**
 * The shortest decimal that reads back as the same f32: most values need 6 to 9 digits, not f64's 17. Nine bring every f32 back bit
 * for bit.
 */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

/**
 * A sample mean + scale·x, of which x is an f32: eight or nine digits of it, and beside a mean that takes digits for itself so many
 * that x keeps its own.
 */
export function sampleText(value: number, mean: number, scale: number): string {
  if (!Number.isFinite(value) || value === 0) return String(value);
  const size = Math.abs(value);
  // half of what an f32 leaves open, of the value and of its distance from the mean; closer to the mean than that, digits mean nothing
  const known = 2 ** -25 * Math.min(size, Math.max(Math.abs(value - mean), scale / 64));
  const digits = Math.ceil(Math.floor(Math.log10(size)) + 1 + Math.log10(0.5 / known));
  return String(Number(value.toPrecision(Math.min(17, Math.max(1, digits)))));
}

/** The values' bytes as they lie in memory: little-endian f32, row-major, no header. */
export function rawBytes(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
