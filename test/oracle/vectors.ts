/*
 * The oracle is plain f64 arithmetic, written to be read beside the formulas of the papers and independent of everything under src/.
 * These are its few words for vectors.
 */

export type Vector = ArrayLike<number>;

/** v[i]; an index beyond the end is a mistake of the test, never a zero. */
export function at(v: Vector, i: number): number {
  const value = v[i];
  if (value === undefined) throw new Error(`index ${i} is beyond a vector of ${v.length}`);
  return value;
}

/** Row i of a row-major [n, dim] array, as f64. */
export function row(x: Vector, dim: number, i: number): Float64Array {
  return Float64Array.from({ length: dim }, (_, j) => at(x, i * dim + j));
}

/** Number of rows of a row-major [n, dim] array. */
export function rowCount(x: Vector, dim: number): number {
  if (x.length % dim !== 0) throw new Error(`${x.length} values are no whole number of rows of ${dim}`);
  return x.length / dim;
}

export function dot(x: Vector, y: Vector): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += at(x, i) * at(y, i);
  return sum;
}

/** y ← y + a x. */
export function addScaled(y: Float64Array, a: number, x: Vector): void {
  for (let i = 0; i < y.length; i++) y[i] = at(y, i) + a * at(x, i);
}

/** The unit vector e_k. */
export function unit(dim: number, k: number): Float64Array {
  const e = new Float64Array(dim);
  e[k] = 1;
  return e;
}

/** ln Σ exp(v_i), with the largest taken out first. */
export function logSumExp(v: Vector): number {
  let top = -Infinity;
  for (let i = 0; i < v.length; i++) top = Math.max(top, at(v, i));
  if (top === -Infinity) return -Infinity;
  let sum = 0;
  for (let i = 0; i < v.length; i++) sum += Math.exp(at(v, i) - top);
  return top + Math.log(sum);
}

/** log N(x; mean, variance·I). */
export function gaussianLogDensity(x: Vector, mean: Vector | undefined, variance: number): number {
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += (at(x, i) - (mean ? at(mean, i) : 0)) ** 2;
  return -squares / (2 * variance) - (x.length / 2) * Math.log(2 * Math.PI * variance);
}
