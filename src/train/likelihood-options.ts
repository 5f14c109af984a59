import type { Divergence, Objective } from "../flow/options.ts";
import type { Solver } from "../ode/grid.ts";
import type { RunOptions } from "../schedule/job.ts";
import type { GradientOptions, TrainingOptions } from "./options.ts";

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
  /**
   * Moves the inner times of the solver's steps anew at every optimiser step, each by up to this part of a step (0 ≤ jitter < ½; in the s of
   * `solver.warp`), so that a training with few steps does not learn to use where they are. Default: none.
   */
  jitter?: number;
  /** Default: exact for dim ≤ 16, else one Rademacher probe, drawn anew for every sample of every batch. */
  divergence?: Divergence;
  /**
   * What the loss is of: the flow (default `"continuous"`), or the steps of the solver themselves, `"discrete"`: the loss is then the exact
   * negative log-likelihood of the samples that these very steps make, however few they are. For dim ≤ 3.
   */
  objective?: Objective;
  /**
   * Of the discrete objective: below this determinant ε of a step its logarithm goes on along its tangent, log ε + det/ε − 1. A step that
   * folds has negative determinants and is no change of variables, but by log|det| it looks like a good one, and a training finds it: this
   * makes it dear instead. Default 0.1; 0: log|det|, as `logProb` has it. It changes nothing where no step shrinks areas to less than ε.
   */
  leastDeterminant?: number;
}

export interface LogProbGradientOptions extends RunOptions {
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  divergence?: Divergence;
  /** Of the flow, or of the very steps that the solver takes. */
  objective?: Objective;
  /** Seed of the probes. Default 0. */
  seed?: number;
  /** Class of each row, [n], or one for all. */
  labels?: Uint32Array;
  /** Context of each row, [n, context], or one row for all. */
  context?: Float32Array;
}

/** log p of rows of data, and its gradient by them. */
export interface LogProbGradient {
  /** [n], nats. */
  logProb: Float32Array;
  /** ∇ log p, [n, dim], per unit of the data. */
  gradient: Float32Array;
  /** Rows of which a number of these is not finite. */
  nonFinite: number;
}

export interface LikelihoodGradientOptions extends GradientOptions {
  /** Penalties that are added to the loss; default: none. */
  regularization?: Regularization;
  /** A fixed-step solver. Default `{ method: "midpoint", steps: 10 }`. */
  solver?: Solver;
  divergence?: Divergence;
  /** As in training. */
  objective?: Objective;
  /** As in training. */
  leastDeterminant?: number;
  /** Seed of the probes. Default 0. */
  seed?: number;
  labels?: Uint32Array;
  context?: Float32Array;
}
