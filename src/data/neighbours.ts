/** Points up to so many are looked at one after the other. */
const leafSize = 8;

/**
 * The Euclidean distance of each row of `data` [n, dim] to its `k`-th nearest other row, [n]: exact, by a k-d tree (Friedman, Bentley &
 * Finkel 1977) in O(n log n) for few dimensions. There must be more than k rows.
 */
export function nearestNeighbourDistances(data: Float32Array, dim: number, k: number): Float64Array {
  const n = data.length / dim;
  // the middle of a range of `order` is a node: what is not above it by the node's axis lies before it, what is not below it behind
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const axes = new Uint16Array(n);
  const coordinate = (place: number, axis: number) => data[(order[place] as number) * dim + axis] as number;

  function widestAxis(from: number, to: number): number {
    let [widest, width] = [0, -1];
    for (let axis = 0; axis < dim; axis++) {
      let [least, greatest] = [Infinity, -Infinity];
      for (let place = from; place < to; place++) {
        const value = coordinate(place, axis);
        if (value < least) least = value;
        if (value > greatest) greatest = value;
      }
      if (greatest - least > width) [widest, width] = [axis, greatest - least];
    }
    return widest;
  }

  /** Puts the row that belongs at place `middle` by this axis there, and the others on its sides (Hoare 1961). */
  function select(from: number, to: number, middle: number, axis: number): void {
    let [low, high] = [from, to - 1];
    while (low < high) {
      const pivot = coordinate((low + high) >> 1, axis);
      let [i, j] = [low, high];
      while (i <= j) {
        while (coordinate(i, axis) < pivot) i++;
        while (coordinate(j, axis) > pivot) j--;
        if (i > j) break;
        const moved = order[i] as number;
        order[i++] = order[j] as number;
        order[j--] = moved;
      }
      if (middle <= j) high = j;
      else if (middle >= i) low = i;
      else return;
    }
  }

  function build(from: number, to: number): void {
    if (to - from <= leafSize) return;
    const middle = (from + to) >> 1;
    const axis = widestAxis(from, to);
    axes[middle] = axis;
    select(from, to, middle, axis);
    build(from, middle);
    build(middle + 1, to);
  }

  build(0, n);
  // in the order of the tree rows that are near each other lie near each other
  const points = new Float64Array(n * dim);
  for (let place = 0; place < n; place++)
    for (let axis = 0; axis < dim; axis++) points[place * dim + axis] = coordinate(place, axis);

  /** The least squares of distances that were found, the greatest last. */
  const nearest = new Float64Array(k);
  let asked = 0;

  function look(place: number): void {
    if (place === asked) return;
    let square = 0;
    for (let axis = 0; axis < dim; axis++)
      square += ((points[place * dim + axis] as number) - (points[asked * dim + axis] as number)) ** 2;
    let at = k - 1;
    if (square >= (nearest[at] as number)) return;
    for (; at > 0 && square < (nearest[at - 1] as number); at--) nearest[at] = nearest[at - 1] as number;
    nearest[at] = square;
  }

  function search(from: number, to: number): void {
    if (to - from <= leafSize) {
      for (let place = from; place < to; place++) look(place);
      return;
    }
    const middle = (from + to) >> 1;
    const axis = axes[middle] as number;
    look(middle);
    const beyond = (points[asked * dim + axis] as number) - (points[middle * dim + axis] as number);
    if (beyond < 0) search(from, middle);
    else search(middle + 1, to);
    if (beyond * beyond >= (nearest[k - 1] as number)) return;
    if (beyond < 0) search(middle + 1, to);
    else search(from, middle);
  }

  const distances = new Float64Array(n);
  for (asked = 0; asked < n; asked++) {
    nearest.fill(Infinity);
    search(0, n);
    distances[order[asked] as number] = Math.sqrt(nearest[k - 1] as number);
  }
  return distances;
}
