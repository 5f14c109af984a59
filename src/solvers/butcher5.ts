import type { FixedSolver } from "./tableau.ts";

/** Butcher 1964: order 5, which takes six stages at least. */
export const butcher5: FixedSolver = {
  name: "butcher5",
  order: 5,
  a: [[], [1 / 4], [1 / 8, 1 / 8], [0, -1 / 2, 1], [3 / 16, 0, 0, 9 / 16], [-3 / 7, 2 / 7, 12 / 7, -12 / 7, 8 / 7]],
  b: [7 / 90, 0, 16 / 45, 2 / 15, 16 / 45, 7 / 90],
  c: [0, 1 / 4, 1 / 4, 1 / 2, 3 / 4, 1],
};
