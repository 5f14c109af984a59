import type { AdaptiveSolver } from "./tableau.ts";

/** Bogacki & Shampine 1989, order 3(2): fewer evaluations a step, for loose tolerances. */
export const bosh3: AdaptiveSolver = {
  name: "bosh3",
  order: 3,
  a: [[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
  b: [2 / 9, 1 / 3, 4 / 9, 0],
  c: [0, 1 / 2, 3 / 4, 1],
  error: [-5 / 72, 1 / 12, 1 / 9, -1 / 8],
};
