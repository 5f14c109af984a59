import { bosh3 } from "./bosh3.ts";
import { butcher5 } from "./butcher5.ts";
import { dopri5 } from "./dopri5.ts";
import { euler } from "./euler.ts";
import { heun2 } from "./heun2.ts";
import { heun3 } from "./heun3.ts";
import { midpoint } from "./midpoint.ts";
import { rk4 } from "./rk4.ts";
import { rk4ThreeEighths } from "./rk4-three-eighths.ts";
import { ssprk3 } from "./ssprk3.ts";
import { tsit5 } from "./tsit5.ts";

/** The solvers for given steps, by the names that callers use. */
export const fixedSolvers = {
  euler,
  midpoint,
  heun2,
  heun3,
  ssprk3,
  rk4,
  "rk4-3/8": rk4ThreeEighths,
  butcher5,
} as const;
export type FixedStepMethod = keyof typeof fixedSolvers;

/** The solvers that find their steps. */
export const adaptiveSolvers = { bosh3, dopri5, tsit5 } as const;
export type AdaptiveMethod = keyof typeof adaptiveSolvers;

export const fixedNames = Object.keys(fixedSolvers) as FixedStepMethod[];
export const adaptiveNames = Object.keys(adaptiveSolvers) as AdaptiveMethod[];
