import type { FixedSolver } from "./tableau.ts";

/** Shu & Osher 1988, strongly stable: a step is a mean of Euler steps, so what those keep within bounds stays there. */
export const ssprk3: FixedSolver = {
  name: "ssprk3",
  order: 3,
  a: [[], [1], [1 / 4, 1 / 4]],
  b: [1 / 6, 1 / 6, 2 / 3],
  c: [0, 1, 1 / 2],
};
