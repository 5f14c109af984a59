/**
 * The permutation σ with least Σ cost[i, σ(i)], exactly: shortest augmenting paths with dual prices (Jonker & Volgenant 1987), O(n³).
 * `cost` is row-major [n, n].
 */
export function assign(cost: Float64Array, n: number): Uint32Array {
  // so all that the loops read is there: they index by rows below n, and by columns up to n
  if (cost.length !== n * n) throw new Error(`internal: ${cost.length} costs are no matrix of ${n} rows`);
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
      const row = rowOf[column] as number;
      const price = rowPrice[row] as number;
      let step = Number.POSITIVE_INFINITY;
      let next = 0;
      for (let j = 0; j < n; j++) {
        if (isReached[j]) continue;
        const reduced = (cost[row * n + j] as number) - price - (columnPrice[j] as number);
        if (reduced < (distance[j] as number)) {
          distance[j] = reduced;
          previous[j] = column;
        }
        if ((distance[j] as number) < step) {
          step = distance[j] as number;
          next = j;
        }
      }
      for (let j = 0; j <= n; j++) {
        if (isReached[j]) {
          const reachedRow = rowOf[j] as number;
          rowPrice[reachedRow] = (rowPrice[reachedRow] as number) + step;
          columnPrice[j] = (columnPrice[j] as number) - step;
        } else if (j < n) distance[j] = (distance[j] as number) - step;
      }
      column = next;
    } while (rowOf[column] !== -1);
    while (column !== n) {
      const before = previous[column] as number;
      rowOf[column] = rowOf[before] as number;
      column = before;
    }
  }
  const columnOf = new Uint32Array(n);
  for (let j = 0; j < n; j++) columnOf[rowOf[j] as number] = j;
  return columnOf;
}
