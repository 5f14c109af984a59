import type { FixedSolver } from "./tableau.ts";

/** Heun 1900. */
export const heun3: FixedSolver = {
  name: "heun3",
  order: 3,
  a: [[], [1 / 3], [0, 2 / 3]],
  b: [1 / 4, 0, 3 / 4],
  c: [0, 1 / 3, 2 / 3],
};
