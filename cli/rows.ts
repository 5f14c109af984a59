/** Header line of a CSV; names with a comma, quote or line break are quoted as RFC 4180 says. */
export function csvHeader(names: readonly string[]): string {
  const cells = names.map((name) => (/[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name));
  return `${cells.join(",")}\n`;
}

/**
 * Lines of a CSV from row-major arrays of equally many rows, put side by side.
 * Nine digits bring every f32 back bit for bit; the shortest text that does so is written.
 */
export function csvRows(blocks: readonly { data: Float32Array; width: number }[], rows: number): string {
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    const cells: string[] = [];
    for (const { data, width } of blocks) {
      for (let column = 0; column < width; column++) cells.push(shortest(data[row * width + column] ?? Number.NaN));
    }
    lines.push(cells.join(","));
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** The shortest decimal that reads back as the same f32: most values need 6 to 9 digits, not f64's 17. */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

/** The values' bytes as they lie in memory: little-endian f32, row-major, no header. */
export function rawBytes(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
