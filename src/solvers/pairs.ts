import { bosh3 } from "./bosh3.ts";
import { dopri5 } from "./dopri5.ts";
import type { AdaptiveMethod } from "./methods.ts";
import type { AdaptiveSolver } from "./tableau.ts";
import { tsit5 } from "./tsit5.ts";

/** The solvers that find their steps: loaded with what takes these. */
export const adaptiveSolvers: Readonly<Record<AdaptiveMethod, AdaptiveSolver>> = { bosh3, dopri5, tsit5 };
