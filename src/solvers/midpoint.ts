import type { FixedSolver } from "./tableau.ts";

/** Runge 1895: the velocity half-way. */
export const midpoint: FixedSolver = { name: "midpoint", order: 2, a: [[], [1 / 2]], b: [0, 1], c: [0, 1 / 2] };
