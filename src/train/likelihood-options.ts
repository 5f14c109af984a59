import { invalid, PushforwardError } from "../errors.ts";
import { type Divergence, type DivergencePlan, divergencePlan } from "../flow/options.ts";
import { type Solver, type TimeGrid, timeGrid } from "../ode/grid.ts";
import type { TrainingOptions } from "./options.ts";

/** The name under which faults of the training are told. */
export const likelihoodTraining = "trainMaximumLikelihood";

export interface MaximumLikelihoodOptions extends TrainingOptions {
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  /** Default: exact for dim ≤ 16, else one Rademacher probe, drawn anew for every sample of every batch. */
  divergence?: Divergence;
}

export interface LikelihoodGradientOptions {
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  divergence?: Divergence;
  /** Seed of the probes. Default 0. */
  seed?: number;
  labels?: Uint32Array;
  context?: Float32Array;
}

/** A checked way from data at t = 1 back to the source. */
export interface LikelihoodSolve {
  readonly grid: TimeGrid;
  readonly divergence: DivergencePlan;
}

export function likelihoodSolve(
  what: string,
  o: { solver?: Solver; divergence?: Divergence },
  dim: number,
  count: number,
): LikelihoodSolve {
  const grid = timeGrid(what, o.solver ?? { method: "midpoint", steps: 10 }, 1, 0);
  if (grid.adaptive)
    throw new PushforwardError(
      "unsupported",
      `${what}: solver is dopri5, but the gradient is that of fixed steps: use "midpoint" or "rk4" with a number of steps`,
    );
  return {
    grid,
    divergence: divergencePlan(what, o.divergence, dim, count),
  };
}

/** Every batch of a training draws its own probes. */
export function checkDrawnProbes({ divergence }: MaximumLikelihoodOptions): void {
  if (typeof divergence === "object" && divergence !== null && divergence.vectors !== undefined) {
    throw invalid(
      `${likelihoodTraining}: divergence.vectors was given, but every batch draws its own probes: leave it out`,
    );
  }
}
