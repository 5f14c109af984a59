/**
 * The permutation σ with least Σ cost[i, σ(i)], exactly: shortest augmenting paths with dual prices (Jonker & Volgenant 1987), O(n³).
 * `cost` is row-major [n, n].
 */
export function assign(cost: Float64Array, n: number): Uint32Array {
  // Column n stands for "no column yet": each search for an augmenting path starts from it.
  const rowOf = new Int32Array(n + 1).fill(-1);
  const rowPrice = new Float64Array(n);
  const columnPrice = new Float64Array(n + 1);
  const distance = new Float64Array(n);
  const previous = new Int32Array(n);
  const isReached = new Uint8Array(n + 1);
  for (let start = 0; start < n; start++) {
    rowOf[n] = start;
    distance.fill(Number.POSITIVE_INFINITY);
    isReached.fill(0);
    let column = n;
    do {
      isReached[column] = 1;
      const row = rowOf[column] ?? 0;
      const price = rowPrice[row] ?? 0;
      let step = Number.POSITIVE_INFINITY;
      let next = 0;
      for (let j = 0; j < n; j++) {
        if (isReached[j]) continue;
        const reduced = (cost[row * n + j] ?? 0) - price - (columnPrice[j] ?? 0);
        if (reduced < (distance[j] ?? 0)) {
          distance[j] = reduced;
          previous[j] = column;
        }
        if ((distance[j] ?? 0) < step) {
          step = distance[j] ?? 0;
          next = j;
        }
      }
      for (let j = 0; j <= n; j++) {
        if (isReached[j]) {
          const reachedRow = rowOf[j] ?? 0;
          rowPrice[reachedRow] = (rowPrice[reachedRow] ?? 0) + step;
          columnPrice[j] = (columnPrice[j] ?? 0) - step;
        } else if (j < n) distance[j] = (distance[j] ?? 0) - step;
      }
      column = next;
    } while (rowOf[column] !== -1);
    while (column !== n) {
      const before = previous[column] ?? n;
      rowOf[column] = rowOf[before] ?? 0;
      column = before;
    }
  }
  const columnOf = new Uint32Array(n);
  for (let j = 0; j < n; j++) columnOf[rowOf[j] ?? 0] = j;
  return columnOf;
}
