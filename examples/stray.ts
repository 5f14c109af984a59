/**
 * The share of points that lie farther than `distance` (in the data's units) from every row of `data`, both row-major
 * [n, 2]: how much a model smears over places where nobody lives. Held-out rows give the share to compare with.
 */
export function strayShare(points: Float32Array, data: Float32Array, distance: number): number {
  const cells = new Map<string, number[]>();
  const cellOf = (value: number) => Math.floor(value / distance);
  for (let i = 0; i + 1 < data.length; i += 2) {
    const key = `${cellOf(data[i] ?? 0)},${cellOf(data[i + 1] ?? 0)}`;
    const list = cells.get(key);
    if (list) list.push(i);
    else cells.set(key, [i]);
  }
  let stray = 0;
  for (let i = 0; i + 1 < points.length; i += 2) {
    if (!hasNeighbour(points[i] ?? Number.NaN, points[i + 1] ?? Number.NaN)) stray++;
  }
  return points.length === 0 ? 0 : stray / (points.length / 2);

  // Within `distance` means within the point's own cell or one of the eight around it.
  function hasNeighbour(x: number, y: number): boolean {
    for (let column = cellOf(x) - 1; column <= cellOf(x) + 1; column++) {
      for (let row = cellOf(y) - 1; row <= cellOf(y) + 1; row++) {
        for (const i of cells.get(`${column},${row}`) ?? []) {
          if (((data[i] ?? 0) - x) ** 2 + ((data[i + 1] ?? 0) - y) ** 2 <= distance ** 2) return true;
        }
      }
    }
    return false;
  }
}
