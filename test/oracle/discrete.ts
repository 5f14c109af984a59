import { type Condition, evaluate, type Network } from "./mlp.ts";
import { type Method, stagesOf, standardLogDensity, tableauOf } from "./ode.ts";
import { addScaled, at, row, rowCount, unit, type Vector } from "./vectors.ts";

/** A field whose derivative along a tangent is known, J·v. */
export interface Differentiable {
  readonly dim: number;
  velocity(t: number, x: Vector): Vector;
  product(t: number, x: Vector, v: Vector): Vector;
}

/** A network as such a field. */
export function differentiableNetwork(net: Network, condition: Condition = {}): Differentiable {
  return {
    dim: net.spec.dim,
    velocity: (t, x) => evaluate(net, t, x, [], condition).velocity,
    product: (t, x, v) => evaluate(net, t, x, [v], condition).products[0] ?? [],
  };
}

/** log|det A| of a square matrix, given by its columns or its rows: by Gaussian elimination with the largest pivots. */
export function logSize(matrix: readonly Vector[]): number {
  const rows = matrix.map((line) => Float64Array.from(line));
  let sum = 0;
  for (let k = 0; k < rows.length; k++) {
    const rest = rows.splice(k).sort((a, b) => Math.abs(at(b, k)) - Math.abs(at(a, k)));
    rows.push(...rest);
    const pivot = rows[k] ?? [];
    sum += Math.log(Math.abs(at(pivot, k)));
    for (const line of rows.slice(k + 1)) addScaled(line, -at(line, k) / at(pivot, k), pivot);
  }
  return sum;
}

/** det A of such a matrix: by the first line, recursively (Laplace). */
export function determinant(matrix: readonly Vector[]): number {
  const [first, ...others] = matrix;
  if (!first) return 1;
  return Array.from(first).reduce((sum, value, j) => {
    const minor = others.map((line) => Array.from(line).filter((_, k) => k !== j));
    return sum + (-1) ** j * value * determinant(minor);
  }, 0);
}

/** log det A, which below a least determinant goes on along its tangent there. */
export const tangentBelow =
  (least: number) =>
  (matrix: readonly Vector[]): number => {
    const value = determinant(matrix);
    return value < least ? Math.log(least) + (value - least) / least : Math.log(value);
  };

/**
 * log p at the first of `times` of the map that the steps to the last one compute, x_{k+1} = x_k + h Σ b_i k_i: log p_0 at its end and
 * Σ_k log|det ∂x_{k+1}/∂x_k|. The derivative of a step along a unit vector is that of each of its stages, one after the other.
 */
export function discreteLogLikelihood(
  field: Differentiable,
  start: Vector,
  method: Method,
  times: Vector,
  sourceLogDensity: (x: Vector) => number = standardLogDensity,
  logDeterminant: (matrix: readonly Vector[]) => number = logSize,
): { logProb: number; x0: Float64Array } {
  const tableau = tableauOf(method);
  let x: Float64Array = Float64Array.from(start);
  let logSizes = 0;
  for (let k = 0; k + 1 < times.length; k++) {
    const t = at(times, k);
    const h = at(times, k + 1) - t;
    const { states, slopes } = stagesOf(tableau, t, h, x, (time, y) => field.velocity(time, y));
    const columns = Array.from({ length: field.dim }, (_, s) => {
      const direction = unit(field.dim, s);
      const moves = stagesOf(tableau, t, h, direction, (time, v, i) => field.product(time, states[i] ?? [], v)).slopes;
      return stepped(tableau.b, h, direction, moves);
    });
    logSizes += logDeterminant(columns);
    x = stepped(tableau.b, h, x, slopes);
  }
  return { logProb: sourceLogDensity(x) + logSizes, x0: x };
}

function stepped(b: readonly number[], h: number, x: Vector, slopes: readonly Vector[]): Float64Array {
  const end = Float64Array.from(x);
  for (const [i, slope] of slopes.entries()) addScaled(end, h * at(b, i), slope);
  return end;
}

/** The mean negative log-likelihood of the rows of x under the steps of a network. */
export function discreteLoss(
  net: Network,
  x: Vector,
  o: {
    method: Method;
    times: Vector;
    conditionOf?: (i: number) => Condition;
    source?: (x: Vector) => number;
    logDeterminant?: (matrix: readonly Vector[]) => number;
    /** Adds this many times ∫|u|² dt by the solver's own weights. */
    kineticEnergy?: number;
  },
): number {
  const { dim } = net.spec;
  const n = rowCount(x, dim);
  let loss = 0;
  for (let i = 0; i < n; i++) {
    const field = differentiableNetwork(net, o.conditionOf?.(i));
    loss -= discreteLogLikelihood(field, row(x, dim, i), o.method, o.times, o.source, o.logDeterminant).logProb / n;
    if (o.kineticEnergy) loss += (o.kineticEnergy / n) * energy(field, row(x, dim, i), o.method, o.times);
  }
  return loss;
}

function energy(field: Differentiable, start: Vector, method: Method, times: Vector): number {
  const { b, ...tableau } = tableauOf(method);
  let x: Float64Array = Float64Array.from(start);
  let sum = 0;
  for (let k = 0; k + 1 < times.length; k++) {
    const t = at(times, k);
    const h = at(times, k + 1) - t;
    const { slopes } = stagesOf({ ...tableau, b }, t, h, x, (time, y) => field.velocity(time, y));
    for (const [i, u] of slopes.entries())
      sum += Math.abs(h * at(b, i)) * Array.from(u).reduce((all, value) => all + value * value, 0);
    x = stepped(b, h, x, slopes);
  }
  return sum;
}
