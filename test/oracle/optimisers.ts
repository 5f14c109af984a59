import { at, type Vector } from "./vectors.ts";

interface AdamOptions {
  readonly learningRate: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** AdamW: θ ← θ − ηλθ before the step, not through the moments. */
  readonly weightDecay?: number;
}

export interface AdamState {
  readonly m: Float64Array;
  readonly v: Float64Array;
  step: number;
}

export function adamState(count: number): AdamState {
  return { m: new Float64Array(count), v: new Float64Array(count), step: 0 };
}

/** One step of Adam or AdamW, in place (Kingma & Ba 2015; Loshchilov & Hutter 2019); ε stands outside the root, the step count is an integer from 1. */
export function adamStep(theta: Float64Array, gradient: Vector, state: AdamState, options: AdamOptions): void {
  const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  state.step++;
  for (let i = 0; i < theta.length; i++) {
    const g = at(gradient, i);
    const m = beta1 * at(state.m, i) + (1 - beta1) * g;
    const v = beta2 * at(state.v, i) + (1 - beta2) * g * g;
    state.m[i] = m;
    state.v[i] = v;
    const decayed = at(theta, i) * (1 - learningRate * weightDecay);
    const direction = m / (1 - beta1 ** state.step) / (Math.sqrt(v / (1 - beta2 ** state.step)) + epsilon);
    theta[i] = decayed - learningRate * direction;
  }
}

/** A matrix in row-major order. */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

function matrix(rows: number, columns: number, value: (row: number, column: number) => number): Matrix {
  const values = Float64Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns));
  return { rows, columns, values };
}

const entry = ({ columns, values }: Matrix, row: number, column: number) => at(values, row * columns + column);
const transposed = (a: Matrix) => matrix(a.columns, a.rows, (i, j) => entry(a, j, i));
const product = (a: Matrix, b: Matrix) =>
  matrix(a.rows, b.columns, (i, j) => {
    let sum = 0;
    for (let k = 0; k < a.columns; k++) sum += entry(a, i, k) * entry(b, k, j);
    return sum;
  });

/**
 * Newton–Schulz (Jordan et al. 2024): G/‖G‖ with its singular values brought near 1 by five times X ← aX + (bA + cA²)X, A = XXᵀ,
 * on the side on which A is the smaller one.
 */
function orthogonalised(g: Matrix): Matrix {
  if (g.rows > g.columns) return transposed(orthogonalised(transposed(g)));
  const [a, b, c] = [3.4445, -4.775, 2.0315];
  const norm = Math.sqrt(g.values.reduce((sum, value) => sum + value * value, 0));
  let x = matrix(g.rows, g.columns, (i, j) => (norm === 0 ? 0 : entry(g, i, j) / norm));
  for (let k = 0; k < 5; k++) {
    const gram = product(x, transposed(x));
    const square = product(gram, gram);
    const polynomial = matrix(g.rows, g.rows, (i, j) => b * entry(gram, i, j) + c * entry(square, i, j));
    const rest = product(polynomial, x);
    x = matrix(g.rows, g.columns, (i, j) => a * entry(x, i, j) + entry(rest, i, j));
  }
  return x;
}

/** One step of Muon on a matrix θ [rows, columns] with momentum m, in place: Nesterov's momentum, made orthogonal. */
export function muonStep(
  theta: Float64Array,
  gradient: Vector,
  m: Float64Array,
  o: { readonly rows: number; readonly columns: number; readonly learningRate: number; readonly momentum: number },
): void {
  const { rows, columns, learningRate, momentum } = o;
  for (let i = 0; i < theta.length; i++) m[i] = momentum * at(m, i) + at(gradient, i);
  const x = orthogonalised(
    matrix(rows, columns, (i, j) => at(gradient, i * columns + j) + momentum * at(m, i * columns + j)),
  );
  const rate = learningRate * Math.sqrt(Math.max(1, rows / columns));
  for (let i = 0; i < theta.length; i++) theta[i] = at(theta, i) - rate * at(x.values, i);
}

/** e ← βe + (1 − β)θ, in place. */
export function emaStep(average: Float64Array, theta: Vector, beta: number): void {
  for (let i = 0; i < average.length; i++) average[i] = beta * at(average, i) + (1 - beta) * at(theta, i);
}

/** ‖g‖ over all tensors at once. */
function globalNorm(gradients: Record<string, Vector>): number {
  return Math.sqrt(Object.values(gradients).reduce((sum, g) => sum + Array.from(g).reduce((s, v) => s + v * v, 0), 0));
}

/** min(1, limit/‖g‖), what clipping multiplies every gradient by. */
export function clipFactor(gradients: Record<string, Vector>, limit: number): number {
  return Math.min(1, limit / globalNorm(gradients));
}
