import type { FixedSolver } from "./tableau.ts";

/** Kutta's 3/8 rule (1901), which torchdiffeq calls rk4: smaller errors than the classic method, for the same work. */
export const rk4ThreeEighths: FixedSolver = {
  name: "rk4-3/8",
  order: 4,
  a: [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]],
  b: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
  c: [0, 1 / 3, 2 / 3, 1],
};
