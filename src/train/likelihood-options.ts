import { invalid, PushforwardError } from "../errors.ts";
import { type Divergence, type DivergencePlan, divergencePlan } from "../flow/options.ts";
import { type Solver, type TimeGrid, timeGrid } from "../ode/grid.ts";
import { checkKeys, checkSingle, show, singles } from "../options.ts";
import type { GradientOptions } from "./gradient-options.ts";
import type { TrainingOptions } from "./options.ts";

/** The name under which faults of the training are told. */
export const likelihoodTraining = "trainMaximumLikelihood";

/**
 * Penalties that keep trajectories straight and slow (RNODE; Finlay et al. 2020): kineticEnergy·∫|u|² dt + jacobianFrobenius·∫‖∂u/∂x‖² dt
 * along each trajectory, by the solver's own weights. With probes ‖∂u/∂x‖² is estimated by |∂u/∂x Z|².
 */
export interface Regularization {
  kineticEnergy?: number;
  jacobianFrobenius?: number;
}

export interface MaximumLikelihoodOptions extends TrainingOptions {
  /** Default: none. The loss that is told stays the negative log-likelihood. */
  regularization?: Regularization;
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  /** Default: exact for dim ≤ 16, else one Rademacher probe, drawn anew for every sample of every batch. */
  divergence?: Divergence;
}

export interface LikelihoodGradientOptions extends GradientOptions {
  /** Penalties that are added to the loss; default: none. */
  regularization?: Regularization;
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
  readonly regularization: Regularization | undefined;
}

export function likelihoodSolve(
  what: string,
  o: { solver?: Solver; divergence?: Divergence; regularization?: Regularization },
  dim: number,
  count: number,
): LikelihoodSolve {
  const grid = timeGrid(what, o.solver ?? { method: "midpoint", steps: 10 }, 1, 0);
  if (grid.adaptive)
    throw new PushforwardError(
      "unsupported",
      `${what}: solver is ${grid.tableau.name}, but the gradient is that of fixed steps: use "midpoint" or "rk4" with a number of steps`,
    );
  return {
    grid,
    divergence: divergencePlan(what, o.divergence, dim, count),
    regularization: checkRegularization(what, o.regularization),
  };
}

function checkRegularization(what: string, o: Regularization | undefined): Regularization | undefined {
  if (o === undefined) return undefined;
  const name = `${what}: regularization`;
  if (typeof o !== "object" || o === null)
    throw invalid(`${name} is ${show(o)}, but it is { kineticEnergy?, jacobianFrobenius? }`);
  checkKeys(name, o, ["kineticEnergy", "jacobianFrobenius"]);
  const kineticEnergy = checkSingle(`${name}.kineticEnergy`, o.kineticEnergy ?? 0, 0, Infinity, singles);
  const jacobianFrobenius = checkSingle(`${name}.jacobianFrobenius`, o.jacobianFrobenius ?? 0, 0, Infinity, singles);
  return kineticEnergy + jacobianFrobenius > 0 ? { kineticEnergy, jacobianFrobenius } : undefined;
}

/** Every batch of a training draws its own probes. */
export function checkDrawnProbes({ divergence }: MaximumLikelihoodOptions): void {
  if (typeof divergence === "object" && divergence !== null && divergence.vectors !== undefined) {
    throw invalid(
      `${likelihoodTraining}: divergence.vectors was given, but every batch draws its own probes: leave it out`,
    );
  }
}
