import { butcher5 } from "./butcher5.ts";
import { euler } from "./euler.ts";
import { heun2 } from "./heun2.ts";
import { heun3 } from "./heun3.ts";
import { midpoint } from "./midpoint.ts";
import { rk4 } from "./rk4.ts";
import { rk4ThreeEighths } from "./rk4-three-eighths.ts";
import { ssprk3 } from "./ssprk3.ts";

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

/** The stages of the solvers that find their steps, which are in pairs.ts. */
export const adaptiveStages = { dopri5: 7, bosh3: 4, tsit5: 7 } as const;
export type AdaptiveMethod = keyof typeof adaptiveStages;

export const fixedNames = Object.keys(fixedSolvers) as FixedStepMethod[];
export const adaptiveNames = Object.keys(adaptiveStages) as AdaptiveMethod[];
