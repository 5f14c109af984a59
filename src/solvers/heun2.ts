import type { FixedSolver } from "./tableau.ts";

/** The trapezoidal rule made explicit: the mean of both ends. */
export const heun2: FixedSolver = { name: "heun2", order: 2, a: [[], [1]], b: [1 / 2, 1 / 2], c: [0, 1] };
