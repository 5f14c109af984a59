/** Bids of one phase of the auction, per row: far more than points need; what stays free then is assigned by paths. */
const mostBids = 20;
const phases = 6;
/** The increments of two phases, one behind the other. */
const ratio = 5;

/**
 * The permutation σ with least Σ cost[i, σ(i)], exactly. An auction whose increments shrink from phase to phase (Bertsekas 1988) finds
 * column prices that are nearly right; from these, rows bid without an increment and shortest augmenting paths assign the few that
 * stay free (Jonker & Volgenant 1987). With distances in a plane the prices save nine tenths of the work of paths alone. O(n³) at
 * worst. `cost` is row-major [n, n] and finite.
 */
export function assign(cost: Float64Array, n: number): Uint32Array {
  // so all that the loops read is there: they index by rows and columns below n
  if (cost.length !== n * n) throw new Error(`internal: ${cost.length} costs are no matrix of ${n} rows`);
  const a: Assignment = {
    cost,
    n,
    columnOf: new Int32Array(n),
    rowOf: new Int32Array(n),
    price: new Float64Array(n),
  };
  if (n < 2) return new Uint32Array(n);
  let increment = cost.reduce((sum, one) => sum + Math.abs(one), 0) / (n * n);
  for (let phase = 0; phase < phases && increment > 0; phase++, increment /= ratio) bid(a, increment, mostBids * n);
  augment(a, bid(a, 0, 2 * n));
  return Uint32Array.from(a.columnOf);
}

interface Assignment {
  readonly cost: Float64Array;
  readonly n: number;
  /** The column of each row and the row of each column; −1 for none. */
  readonly columnOf: Int32Array;
  readonly rowOf: Int32Array;
  /** Of each column. The reduced cost of a pair is its cost minus the price. */
  readonly price: Float64Array;
}

/**
 * From no assignment: each row takes the column of least reduced cost, lowers its price to where the second is better by the
 * increment, and sets free the row that had it, which is next. Gives the rows that are free after so many bids. Without an increment,
 * every row that has a column has one of least reduced cost.
 */
function bid({ cost, n, columnOf, rowOf, price }: Assignment, increment: number, most: number): Uint32Array {
  columnOf.fill(-1);
  rowOf.fill(-1);
  const free = Uint32Array.from({ length: n }, (_, k) => n - 1 - k);
  const left: number[] = [];
  let waiting = n;
  for (let bids = 0; waiting > 0 && bids < most; bids++) {
    const i = free[--waiting] as number;
    const row = i * n;
    let first = 0;
    let second = 0;
    let least = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (let j = 0; j < n; j++) {
      const reduced = (cost[row + j] as number) - (price[j] as number);
      if (reduced >= next) continue;
      if (reduced < least) {
        next = least;
        second = first;
        least = reduced;
        first = j;
      } else {
        next = reduced;
        second = j;
      }
    }
    const lowered = (price[first] as number) - (next - least) - increment;
    const isLower = lowered < (price[first] as number);
    let taken = first;
    if (isLower) price[first] = lowered;
    else if (rowOf[first] !== -1) {
      // two columns are equally good: who takes an assigned one in turn could do so for ever
      if (rowOf[second] !== -1) {
        left.push(i);
        continue;
      }
      taken = second;
    }
    const before = rowOf[taken] as number;
    columnOf[i] = taken;
    rowOf[taken] = i;
    if (before === -1) continue;
    columnOf[before] = -1;
    free[waiting++] = before;
  }
  return Uint32Array.of(...left, ...free.subarray(0, waiting));
}

/**
 * Assigns each free row by a shortest augmenting path (Dijkstra's over columns), and sets prices so that reduced costs of what is
 * assigned stay the least of their rows.
 */
function augment({ cost, n, columnOf, rowOf, price }: Assignment, free: Uint32Array): void {
  const distance = new Float64Array(n);
  const previous = new Int32Array(n);
  // columns whose distance is final and whose rows have been followed, then those at the least distance, then the others
  const columns = Int32Array.from({ length: n }, (_, j) => j);
  for (const start of free) {
    for (let j = 0; j < n; j++) distance[j] = (cost[start * n + j] as number) - (price[j] as number);
    previous.fill(start);
    let done = 0;
    let reached = 0;
    let least = 0;
    let end = -1;
    while (end === -1) {
      if (done === reached) {
        least = Number.POSITIVE_INFINITY;
        for (let k = done; k < n; k++) {
          const j = columns[k] as number;
          const own = distance[j] as number;
          if (own > least) continue;
          if (own < least) {
            reached = done;
            least = own;
          }
          columns[k] = columns[reached] as number;
          columns[reached++] = j;
        }
        for (let k = done; k < reached && end === -1; k++)
          if (rowOf[columns[k] as number] === -1) end = columns[k] as number;
        if (end !== -1) break;
      }
      const from = columns[done++] as number;
      const i = rowOf[from] as number;
      const base = (cost[i * n + from] as number) - (price[from] as number) - least;
      for (let k = reached; k < n; k++) {
        const j = columns[k] as number;
        const through = (cost[i * n + j] as number) - (price[j] as number) - base;
        if (through >= (distance[j] as number)) continue;
        distance[j] = through;
        previous[j] = i;
        if (through > least) continue;
        if (rowOf[j] === -1) {
          end = j;
          break;
        }
        columns[k] = columns[reached] as number;
        columns[reached++] = j;
      }
    }
    for (let k = 0; k < done; k++) {
      const j = columns[k] as number;
      price[j] = (price[j] as number) + (distance[j] as number) - least;
    }
    for (let i = -1; i !== start; ) {
      i = previous[end] as number;
      rowOf[end] = i;
      const before = columnOf[i] as number;
      columnOf[i] = end;
      end = before;
    }
  }
}
