/** One row per stage of an explicit Runge–Kutta method (Butcher tableau): k_i = u(t + c_i h, x + h Σ a_ij k_j), x⁺ = x + h Σ b_i k_i. */
export interface Tableau {
  readonly name: string;
  readonly order: number;
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
  readonly c: readonly number[];
}

export const euler: Tableau = { name: "euler", order: 1, a: [[]], b: [1], c: [0] };

export const midpoint: Tableau = { name: "midpoint", order: 2, a: [[], [1 / 2]], b: [0, 1], c: [0, 1 / 2] };

export const heun2: Tableau = { name: "heun2", order: 2, a: [[], [1]], b: [1 / 2, 1 / 2], c: [0, 1] };

/** The classic fourth-order method; torchdiffeq's "rk4" is the 3/8 rule, another one. */
export const rk4: Tableau = {
  name: "rk4",
  order: 4,
  a: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
  b: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
  c: [0, 1 / 2, 1 / 2, 1],
};

export const tableaux = { euler, midpoint, heun2, rk4 } as const;
export type FixedStepMethod = keyof typeof tableaux;
