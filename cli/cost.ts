import { item } from "../src/must.ts";
import { networkOf } from "../src/network/of.ts";
import { fixedSolvers } from "../src/solvers/methods.ts";
import type { TrainableVelocity } from "../src/velocity/field.ts";
import type { TrainOptions } from "./training-options.ts";

/** Floating-point operations of one evaluation of a network: a multiplication and an addition for each weight of its matrices. */
export function flopsPerEvaluation(velocity: TrainableVelocity): number {
  return 2 * networkOf(velocity).multiplyAdds;
}

/**
 * Floating-point operations of a training: three times those of what is evaluated, once for the values and twice for the gradients. A
 * likelihood evaluates the network and the tangents of its divergence in each stage of each step of its solver.
 */
export function flopsOfTraining(velocity: TrainableVelocity, o: TrainOptions): number {
  const samples = o.steps * o.batchSize;
  const once = 3 * flopsPerEvaluation(velocity) * samples;
  // a shortcut's target is what the network gives in two steps
  if (o.objective === "flow-matching") return once * (1 + (o.shortcut ? 2 / 3 / o.shortcut : 0));
  const { solverMethod = "midpoint", solverSteps = 10, probes } = o;
  const tangents = probes ?? (velocity.dim <= 16 ? velocity.dim : 1);
  return once * solverSteps * fixedSolvers[solverMethod].b.length * (1 + tangents);
}

const units = ["", "k", "M", "G", "T", "P", "E"];

/** "12.3 GFLOP". */
export function flopsText(flops: number): string {
  const power = flops < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(flops) / 3));
  return `${(flops / 1000 ** power).toPrecision(3)} ${item(units, power)}FLOP`;
}
