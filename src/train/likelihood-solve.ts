import { invalid, PushforwardError } from "../errors.ts";
import { type DivergencePlan, discretePlan, divergencePlan } from "../flow/divergence.ts";
import { type TimeGrid, timeGrid } from "../ode/grid.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import { type CheckedLikelihood, regularizationFields } from "./fields.ts";
import type { Regularization } from "./likelihood-options.ts";

/** The name under which faults of the training are told. */
export const likelihoodTraining = "trainMaximumLikelihood";

/** As found on tasks of two dimensions, where steps begin to fold without it and 0.1 to 0.3 do as well as each other. */
const defaultLeast = 0.1;

/** A checked way from data at t = 1 back to the source. */
export interface LikelihoodSolve {
  readonly grid: TimeGrid;
  readonly divergence: DivergencePlan;
  readonly leastDeterminant: number;
  readonly regularization: Regularization | undefined;
}

export function likelihoodSolve(
  what: string,
  o: Pick<CheckedLikelihood, "solver" | "divergence" | "objective" | "leastDeterminant" | "regularization">,
  dim: number,
  count: number,
): LikelihoodSolve {
  const grid = timeGrid(what, o.solver, 1, 0);
  if (grid.adaptive)
    throw new PushforwardError(
      "unsupported",
      `${what}: solver is ${grid.tableau.name}, but the gradient is that of fixed steps: use "midpoint" or "rk4" with a number of steps`,
    );
  const regularization = checkRegularization(what, o.regularization);
  const squares = regularization?.jacobianFrobenius ? "regularization has jacobianFrobenius" : undefined;
  const isDiscrete = o.objective === "discrete";
  if (!isDiscrete && o.leastDeterminant !== undefined)
    throw invalid(
      `${what}: leastDeterminant is ${o.leastDeterminant}, but only objective "discrete" has determinants: leave it out`,
    );
  const leastDeterminant = isDiscrete ? (o.leastDeterminant ?? defaultLeast) : 0;
  const divergence = isDiscrete
    ? discretePlan(what, o.divergence, dim, grid, squares)
    : divergencePlan(what, o.divergence, dim, count);
  return { grid, divergence, leastDeterminant, regularization };
}

function checkRegularization(what: string, o: Regularization | undefined): Regularization | undefined {
  if (o === undefined) return undefined;
  const name = `${what}: regularization`;
  if (typeof o !== "object" || o === null)
    throw invalid(`${name} is ${show(o)}, but it is { kineticEnergy?, jacobianFrobenius? }`);
  const own = checked(name, regularizationFields, o, `${name}.`);
  return own.kineticEnergy + own.jacobianFrobenius > 0 ? own : undefined;
}

/** Every batch of a training draws its own probes. */
export function checkDrawnProbes({ divergence }: CheckedLikelihood): void {
  if (typeof divergence === "object" && divergence !== null && divergence.vectors !== undefined) {
    throw invalid(
      `${likelihoodTraining}: divergence.vectors was given, but every batch draws its own probes: leave it out`,
    );
  }
}
