import { addScaled, at, row, rowCount, type Vector } from "./vectors.ts";

/**
 * The permutation that minimises Σ cost[i][σ(i)], by shortest augmenting paths with potentials; O(n³), for n up to about 1000.
 * `cost` is [n, n] row-major; returns σ.
 */
export function assignment(cost: Vector, n: number): Int32Array {
  const rowPotential = new Float64Array(n + 1);
  const columnPotential = new Float64Array(n + 1);
  // row matched to each column; column n is the start of the current path
  const rowOf = new Int32Array(n + 1).fill(-1);
  const previous = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) {
    const distance = new Float64Array(n + 1).fill(Infinity);
    const done = new Uint8Array(n + 1);
    rowOf[n] = i;
    let column = n;
    do {
      done[column] = 1;
      const from = at(rowOf, column);
      let best = Infinity;
      let next = n;
      for (let j = 0; j < n; j++) {
        if (done[j]) continue;
        const reduced = at(cost, from * n + j) - at(rowPotential, from) - at(columnPotential, j);
        if (reduced < at(distance, j)) {
          distance[j] = reduced;
          previous[j] = column;
        }
        if (at(distance, j) < best) [best, next] = [at(distance, j), j];
      }
      for (let j = 0; j <= n; j++) {
        if (done[j]) {
          const matched = at(rowOf, j);
          rowPotential[matched] = at(rowPotential, matched) + best;
          columnPotential[j] = at(columnPotential, j) - best;
        } else distance[j] = at(distance, j) - best;
      }
      column = next;
    } while (at(rowOf, column) >= 0);
    while (column !== n) {
      const before = at(previous, column);
      rowOf[column] = at(rowOf, before);
      column = before;
    }
  }
  const sigma = new Int32Array(n);
  for (let j = 0; j < n; j++) sigma[at(rowOf, j)] = j;
  return sigma;
}

/** [n, n] squared Euclidean distances between the rows of x and y. */
export function squaredDistances(x: Vector, y: Vector, dim: number): Float64Array {
  const n = rowCount(x, dim);
  return Float64Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    let sum = 0;
    for (let c = 0; c < dim; c++) sum += (at(x, i * dim + c) - at(y, j * dim + c)) ** 2;
    return sum;
  });
}

/** Exact W₂ of two equally large samples, [n, dim] each: root of the mean squared distance under the best pairing. */
export function wasserstein2(x: Vector, y: Vector, dim: number): number {
  const n = rowCount(x, dim);
  const cost = squaredDistances(x, y, dim);
  const sigma = assignment(cost, n);
  return Math.sqrt(sigma.reduce((sum, j, i) => sum + at(cost, i * n + j), 0) / n);
}

/** Mean and covariance (divided by n) of the rows of x. */
export function gaussianFit(x: Vector, dim: number): { mean: Float64Array; covariance: Float64Array } {
  const n = rowCount(x, dim);
  const mean = new Float64Array(dim);
  for (let i = 0; i < n; i++) addScaled(mean, 1 / n, row(x, dim, i));
  const covariance = new Float64Array(dim * dim);
  for (let i = 0; i < n; i++) {
    const centred = row(x, dim, i).map((value, j) => value - at(mean, j));
    for (let k = 0; k < dim * dim; k++) {
      covariance[k] = at(covariance, k) + (at(centred, Math.floor(k / dim)) * at(centred, k % dim)) / n;
    }
  }
  return { mean, covariance };
}

/** Entropy in nats of a Gaussian with this [dim, dim] covariance, by its Cholesky factor. */
export function gaussianEntropy(covariance: Vector, dim: number): number {
  const factor = new Float64Array(dim * dim);
  let logDeterminant = 0;
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = at(covariance, i * dim + j);
      for (let k = 0; k < j; k++) sum -= at(factor, i * dim + k) * at(factor, j * dim + k);
      factor[i * dim + j] = i === j ? Math.sqrt(sum) : sum / at(factor, j * dim + j);
    }
    logDeterminant += 2 * Math.log(at(factor, i * dim + i));
  }
  return 0.5 * (dim * Math.log(2 * Math.PI * Math.E) + logDeterminant);
}
