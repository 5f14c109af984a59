import { currently, type Numeric, scaled } from "../../shaders/interface.ts";
import type { SourceSpec } from "../flow/source.ts";
import { type Conditions, type Engine, type Integration, integralsOf, names, tangentsOf } from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import { stateRows } from "../ode/integration.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { keepsFirstStage, type LikelihoodBackward, type MostTangents, type PassTangents } from "./backward.ts";
import type { Regularization } from "./likelihood-options.ts";

/** What a likelihood gradient is planned for. */
export interface LikelihoodWork {
  readonly velocity: TrainableVelocity;
  readonly engine: Engine;
  readonly backward: LikelihoodBackward;
  readonly source: SourceSpec;
  /** From 1 to 0. */
  readonly grid: TimeGrid;
  readonly integration: Integration;
  readonly conditions: Conditions;
  /** What the change to data units adds to log p. */
  readonly constant: number;
  /** Below it the logarithm of a step's determinant goes on along its tangent; 0 where the sizes of determinants count, or no steps. */
  readonly leastDeterminant: number;
  /** RNODE's penalties, where there are any. */
  readonly regularization: Regularization | undefined;
  /** Whether the loss is the sum over the rows, so that nothing of a row depends on how many there are; else their mean. */
  readonly isSum?: boolean;
}

/** What a row is worth in the loss. */
export const share = ({ isSum }: LikelihoodWork, count: number) => (isSum ? 1 : 1 / count);

/** Tangents of a pass that needs the divergence: all of them, in groups. */
export function tangentTotal({ velocity, integration: { divergence } }: LikelihoodWork): number {
  return tangentsOf(velocity.dim, divergence);
}

/** The buffer of a stage's tangents. */
export const matrix = "matrix";

/** The output cotangents of a step's passes: of the first group of tangents, and of the others. */
export const penaltyRows = ["kappa", "nothing"] as const;

/** Rows of a state, of a stage and of their adjoints: with the Jacobian of the step behind them where the steps themselves count. */
export const rowsOf = ({ velocity, integration }: LikelihoodWork) => stateRows(velocity.dim, integration.divergence);

export const isDiscrete = ({ integration }: LikelihoodWork) => integration.divergence.mode === "discrete";

/** Tangents of the largest pass. */
export function likelihoodTangents(work: LikelihoodWork): MostTangents {
  if (isDiscrete(work)) return { count: work.velocity.dim, kind: "matrix" };
  return { count: Math.min(work.backward.mostTangents, tangentTotal(work)), kind: "trace" };
}

/** The tangents of the pass of a stage, whose weight in its step is given: of a trace those from number `first` on, and none without a weight. */
export function tangentsOfPass(work: LikelihoodWork, count: number, weight: Numeric, first = 0): PassTangents {
  const { velocity, backward, integration } = work;
  const { divergence } = integration;
  if (isDiscrete(work)) return { count: velocity.dim, matrix };
  const isFree = currently(weight) === 0;
  return {
    count: isFree ? 0 : Math.min(backward.mostTangents, tangentTotal(work) - first),
    first,
    weight: scaled(weight, -share(work, count) / integralsOf(divergence)),
    ...(divergence.mode === "probes" ? { probes: names.probes } : {}),
  };
}

export const keepsStages = ({ integration: { stages, divergence }, velocity }: LikelihoodWork) =>
  keepsFirstStage(stages, divergence.mode === "probes", velocity);

/** The buffer with the velocity of stage `i` of a step. */
export const stageName = (work: LikelihoodWork, step: number, i: number) =>
  keepsStages(work) ? `first stage ${step}` : `stage ${i}`;

/** The buffer with the velocity of a step's stage `i` where the gradients' own forward part finds it. */
export const velocityName = (i: number) => `velocity ${i}`;
