import type { FixedSolver } from "./tableau.ts";

export const euler: FixedSolver = { name: "euler", order: 1, a: [[]], b: [1], c: [0] };
