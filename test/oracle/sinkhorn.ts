import { at, type Vector } from "./vectors.ts";

/** Potentials of sources and targets, in units of cost. */
interface Potentials {
  readonly f: Float64Array;
  readonly g: Float64Array;
}

/**
 * Sinkhorn's algorithm in the log domain (Cuturi 2013) for n sources and n targets of weight 1/n each, with the given ε in each step:
 * first the potentials of the targets, then those of the sources. `cost` is [n, n] row-major.
 */
export function sinkhorn(cost: Vector, n: number, epsilons: readonly number[]): Potentials {
  let f = new Float64Array(n);
  let g = new Float64Array(n);
  for (const epsilon of epsilons) {
    g = potentials(n, epsilon, (j, i) => at(f, i) - at(cost, i * n + j));
    f = potentials(n, epsilon, (i, j) => at(g, j) - at(cost, i * n + j));
  }
  return { f, g };
}

/** −ε log((1/n) Σ_b exp(value(a, b)/ε)) for each a. */
function potentials(n: number, epsilon: number, value: (a: number, b: number) => number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: n }, (_, a) => {
    const exponents = Float64Array.from({ length: n }, (__, b) => value(a, b) / epsilon);
    const top = exponents.reduce((most, one) => Math.max(most, one), -Infinity);
    return -epsilon * (top + Math.log(exponents.reduce((sum, one) => sum + Math.exp(one - top), 0) / n));
  });
}

/** The plan, [n, n]: exp((f_i + g_j − cost_ij)/ε)/n². */
export function plan(cost: Vector, n: number, { f, g }: Potentials, epsilon: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    return Math.exp((at(f, i) + at(g, j) - at(cost, k)) / epsilon) / n ** 2;
  });
}

/** Σ_j |Σ_i plan_ij − 1/n|. */
export function columnError(p: Vector, n: number): number {
  const sums = new Float64Array(n);
  for (let k = 0; k < n * n; k++) sums[k % n] = at(sums, k % n) + at(p, k);
  return sums.reduce((sum, one) => sum + Math.abs(one - 1 / n), 0);
}
