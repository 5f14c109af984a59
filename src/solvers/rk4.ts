import type { FixedSolver } from "./tableau.ts";

/** The classic fourth-order method (Kutta 1901); what torchdiffeq calls rk4 is the 3/8 rule. */
export const rk4: FixedSolver = {
  name: "rk4",
  order: 4,
  a: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
  b: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
  c: [0, 1 / 2, 1 / 2, 1],
};
