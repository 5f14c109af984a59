/** Rows [count, width], whose last column is one number, behind the columns that are `given`, [count, width − 1]. */
export function withLastColumn(
  given: Float32Array | undefined,
  count: number,
  width: number,
  value: number,
): Float32Array {
  const rows = new Float32Array(count * width).fill(value);
  const own = width - 1;
  if (given) for (let row = 0; row < count; row++) rows.set(given.subarray(row * own, (row + 1) * own), row * width);
  return rows;
}
