import { addScaled, at, gaussianLogDensity, row, rowCount, type Vector } from "./vectors.ts";

/** Anything that can be integrated with its divergence. */
export interface Field {
  readonly dim: number;
  velocity(t: number, x: Vector): Vector;
  divergence(t: number, x: Vector): number;
}

/** k_i = u(t + c_i h, x + h Σ a_ij k_j), x⁺ = x + h Σ b_i k_i (Hairer, Nørsett & Wanner I, §II.1). */
export interface Tableau {
  readonly order?: number;
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
  readonly c: readonly number[];
}

export const tableaux = {
  euler: { order: 1, c: [0], a: [[]], b: [1] },
  midpoint: { order: 2, c: [0, 1 / 2], a: [[], [1 / 2]], b: [0, 1] },
  heun2: { order: 2, c: [0, 1], a: [[], [1]], b: [1 / 2, 1 / 2] },
  ralston: { order: 2, c: [0, 2 / 3], a: [[], [2 / 3]], b: [1 / 4, 3 / 4] },
  heun3: { order: 3, c: [0, 1 / 3, 2 / 3], a: [[], [1 / 3], [0, 2 / 3]], b: [1 / 4, 0, 3 / 4] },
  ssprk3: { order: 3, c: [0, 1, 1 / 2], a: [[], [1], [1 / 4, 1 / 4]], b: [1 / 6, 1 / 6, 2 / 3] },
  rk4: { order: 4, c: [0, 1 / 2, 1 / 2, 1], a: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], b: [1 / 6, 1 / 3, 1 / 3, 1 / 6] },
  butcher5: {
    order: 5,
    c: [0, 1 / 4, 1 / 4, 1 / 2, 3 / 4, 1],
    a: [[], [1 / 4], [1 / 8, 1 / 8], [0, -1 / 2, 1], [3 / 16, 0, 0, 9 / 16], [-3 / 7, 2 / 7, 12 / 7, -12 / 7, 8 / 7]],
    b: [7 / 90, 0, 32 / 90, 12 / 90, 32 / 90, 7 / 90],
  },
  /** What torchdiffeq calls rk4. */
  "rk4-3/8": {
    order: 4,
    c: [0, 1 / 3, 2 / 3, 1],
    a: [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]],
    b: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
  },
} as const satisfies Record<string, Tableau>;

export type MethodName = keyof typeof tableaux;

/** A name of the table above, or a tableau. */
export type Method = MethodName | Tableau;

export const tableauOf = (method: Method): Tableau => (typeof method === "string" ? tableaux[method] : method);

/** t_k = from + (to − from)·(k/steps) from the integer k; the last is `to` itself. */
export function timesOf(from: number, to: number, steps: number): number[] {
  return Array.from({ length: steps + 1 }, (_, k) => (k === steps ? to : from + (to - from) * (k / steps)));
}

/** The states y_i of a step's stages and their velocities k_i. */
export function stagesOf(
  tableau: Tableau,
  t: number,
  h: number,
  x: Vector,
  velocity: (t: number, y: Float64Array, i: number) => Vector,
) {
  const states: Float64Array[] = [];
  const slopes: Vector[] = [];
  tableau.a.forEach((rowOfA, i) => {
    const y = Float64Array.from(x);
    rowOfA.forEach((a, j) => void addScaled(y, h * a, slopes[j] ?? []));
    states.push(y);
    slopes.push(velocity(t + at(tableau.c, i) * h, y, i));
  });
  return { states, slopes };
}

interface Pushed {
  readonly x: Float64Array;
  readonly logProb: number;
  /** States and log-probabilities at all grid times, the first included. */
  readonly states: readonly Float64Array[];
  readonly logProbs: readonly number[];
}

/**
 * Solves ẋ = u_t(x), d(log p)/dt = −div u_t(x) over the grid `times`, the divergence at each stage's own state and time;
 * stages of weight 0 need none. `logProb` is log p at the start.
 */
export function push(field: Field, x0: Vector, method: Method, times: Vector, logProb = 0): Pushed {
  const tableau = tableauOf(method);
  let x = Float64Array.from(x0);
  let l = logProb;
  const states = [x];
  const logProbs = [l];
  for (let k = 0; k + 1 < times.length; k++) {
    const t = at(times, k);
    const h = at(times, k + 1) - t;
    const { states: y, slopes } = stagesOf(tableau, t, h, x, (time, state) => field.velocity(time, state));
    x = x.slice();
    tableau.b.forEach((b, i) => {
      if (b === 0) return;
      addScaled(x, h * b, slopes[i] ?? []);
      l -= h * b * field.divergence(t + at(tableau.c, i) * h, y[i] ?? []);
    });
    states.push(x);
    logProbs.push(l);
  }
  return { x, logProb: l, states, logProbs };
}

/** Log-density of the standard source N(0, I). */
export function standardLogDensity(x: Vector): number {
  return gaussianLogDensity(x, undefined, 1);
}

/**
 * log p at the first of `times` (1 for the target) by the backward solve to the last (0):
 * (f, g)' = (u, −div u), f = x and g = 0 at the start, log p(x) = log p_0(f) − g (Chen et al. 2018; Grathwohl et al. 2019).
 */
export function logLikelihood(
  field: Field,
  x: Vector,
  method: Method,
  times: Vector,
  sourceLogDensity: (x: Vector) => number = standardLogDensity,
): { logProb: number; x0: Float64Array } {
  const { x: x0, logProb: g } = push(field, x, method, times, 0);
  return { logProb: sourceLogDensity(x0) - g, x0 };
}

/** {@link push} for every row of a [n, dim] array; `fieldOf(i)` may give each particle its own probes, label or context. */
export function pushRows(
  fieldOf: Field | ((i: number) => Field),
  x: Vector,
  method: Method,
  times: Vector,
  logProb?: Vector,
): { x: Float64Array; logProb: Float64Array } {
  const pick = typeof fieldOf === "function" ? fieldOf : () => fieldOf;
  const { dim } = pick(0);
  const n = rowCount(x, dim);
  const result = { x: new Float64Array(n * dim), logProb: new Float64Array(n) };
  for (let i = 0; i < n; i++) {
    const pushed = push(pick(i), row(x, dim, i), method, times, logProb ? at(logProb, i) : 0);
    result.x.set(pushed.x, i * dim);
    result.logProb[i] = pushed.logProb;
  }
  return result;
}

/** {@link logLikelihood} for every row of a [n, dim] array. */
export function logLikelihoodRows(
  fieldOf: Field | ((i: number) => Field),
  x: Vector,
  method: Method,
  times: Vector,
  sourceLogDensity: (x: Vector) => number = standardLogDensity,
): { logProb: Float64Array; x0: Float64Array } {
  const { dim } = typeof fieldOf === "function" ? fieldOf(0) : fieldOf;
  const { x: x0, logProb: g } = pushRows(fieldOf, x, method, times);
  return { x0, logProb: g.map((value, i) => sourceLogDensity(row(x0, dim, i)) - value) };
}
