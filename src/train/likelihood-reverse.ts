import { inPart } from "../../shaders/dispatch.ts";
import { currently, type Numeric, scaled } from "../../shaders/interface.ts";
import { planCombine } from "../../shaders/likelihood-training.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { planFinishStep, planMix, planStageInput } from "../../shaders/stages.ts";
import { planDeterminantAdjoint, planStageMatrix } from "../../shaders/step-jacobian.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import { type Chunk, integralsOf } from "../ode/engine.ts";
import { stageRow } from "../solvers/stage-row.ts";
import type { Batch, Penalty } from "./backward.ts";
import { type Later, laterPass, planLaterWeights } from "./later-weights.ts";
import {
  isDiscrete,
  keepsStages,
  type LikelihoodWork,
  matrix,
  penaltyRows,
  rowsOf,
  share,
  stageName,
  tangentsOfPass,
  tangentTotal,
  velocityName,
} from "./likelihood-work.ts";

/**
 * One step in reverse: with λ the adjoint behind it, every stage gets κ_i = h b_i λ + Σ_{j>i} h a_ji η_j and δ_i = −h b_i/n, its
 * pass gives η_i = ∂/∂y (κ_i·u + δ_i div u), and λ grows by Σ η_i. This is the derivative of the discrete step itself
 * (discretise-then-optimise; Gholami et al. 2019; docs/mathematics.md, Maximum likelihood), with the stages' inputs recomputed from
 * the kept state. Where the steps themselves count, the matrix V of a stage's tangents goes with y, K = ∂u/∂y V with k, and their adjoints
 * with those of y and k, in rows behind them: the coefficients are the same.
 */
export function planReverseStep(
  work: LikelihoodWork,
  batch: Batch,
  step: number,
  begin: boolean,
  later: Later | undefined,
): Dispatch[] {
  const { velocity, backward, integration, leastDeterminant } = work;
  const { capacity, count } = batch;
  const { dim } = velocity;
  const { stages } = integration;
  const row = (i: number) => stageRow(integration.schedule, stages, step, i, integration.isLive);
  const isKept = later !== undefined && step >= later.keptFrom;
  const tangents = isDiscrete(work) ? { count: dim, matrix } : undefined;
  const input = (i: number) => {
    const { time, a } = row(i);
    const ks = Array.from({ length: i }, (_, j) => stageName(work, step, j));
    return [
      ...planStageInput({ capacity, dim, time, a, ks, state: `state ${step}`, input: "h0" }),
      ...(tangents ? planStageMatrix({ capacity, dim, a, ks, matrix }) : []),
    ];
  };
  const dispatches: Dispatch[] = tangents
    ? [
        planDeterminantAdjoint({
          capacity,
          count,
          dim,
          scale: share(work, count),
          least: leastDeterminant,
          state: `state ${step + 1}`,
          adjoint: "adjoint",
        }),
      ]
    : [];
  const inPartOf = (i: number, own: readonly Dispatch[]) =>
    later ? inPart(own, laterPass(work, later, step, i).part, later.parts) : own;
  if (!keepsStages(work) && !isKept) {
    // the inputs of the first pass are made anew in their part
    for (let i = 0; i + 1 < stages; i++) {
      const own = [...input(i), ...backward.velocity(batch, stageName(work, step, i), tangents)];
      dispatches.push(...inPartOf(stages - 1, own));
    }
  }
  let first = begin;
  for (let i = stages - 1; i >= 0; i--) {
    const { weight } = row(i);
    const terms: { weight: Numeric; rows: string }[] = [{ weight, rows: "adjoint" }];
    for (let j = i + 1; j < stages; j++) terms.push({ weight: item(row(j).a, i), rows: `eta ${j}` });
    const before = [
      ...(isKept ? [] : input(i)),
      ...planCombine({
        capacity,
        dim: rowsOf(work),
        target: "kappa",
        terms: terms.filter((term) => currently(term.weight) !== 0),
      }),
    ];
    if (later) {
      const own = tangentsOfPass(work, count, weight);
      const { ends } = laterPass(work, later, step, i);
      const pass = [
        ...before,
        ...(isKept ? [] : later.weights.forward(batch, { output: velocityName(i), tangents: own })),
        ...later.weights.reverse(batch, { cotangent: "kappa", xbar: `eta ${i}`, tangents: own }),
      ];
      dispatches.push(...inPartOf(i, pass), ...(ends ? planLaterWeights(work, batch, later, ends) : []));
      continue;
    }
    dispatches.push(...before);
    // the divergence's gradient is linear in its tangents: the first group goes with κ, each further one alone
    const isFree = currently(weight) === 0;
    const groups = isFree || tangents ? 1 : Math.max(1, Math.ceil(tangentTotal(work) / backward.mostTangents));
    for (let group = 0; group < groups; group++) {
      dispatches.push(
        ...backward.pass(batch, {
          cotangent: group === 0 ? "kappa" : "nothing",
          xbar: group === 0 ? `eta ${i}` : "eta part",
          tangents: tangentsOfPass(work, count, weight, group * backward.mostTangents),
          begin: first,
          penalty: penaltyOf(work, weight, group),
        }),
        ...(group === 0
          ? []
          : [planMix({ capacity, dim, weight: 1, add: true, value: "eta part", target: `eta ${i}` })]),
      );
      first = false;
    }
  }
  dispatches.push(
    ...planFinishStep({
      capacity,
      dim,
      b: Array.from({ length: stages }, () => 1),
      ks: Array.from({ length: stages }, (_, i) => `eta ${i}`),
      state: "adjoint",
    }),
  );
  return dispatches;
}

/**
 * What a pass adds of ∫ (λ_K |u|² + λ_J ‖∂u/∂x‖²) dt, by the solver's own weights (Finlay et al. 2020, eq. 5 and 6). With probes
 * ‖∂u/∂x‖² is estimated by the mean of |∂u/∂x Z|². Only the first group of tangents counts the velocity.
 */
function penaltyOf(
  { regularization, integration }: LikelihoodWork,
  weight: Numeric,
  group: number,
): Penalty | undefined {
  const value = currently(weight);
  if (!regularization || value === 0) return undefined;
  const { kineticEnergy = 0, jacobianFrobenius = 0 } = regularization;
  const probes = integralsOf(integration.divergence);
  return {
    energy: group === 0 ? scaled(weight, kineticEnergy * Math.sign(value)) : 0,
    jacobian: scaled(weight, (jacobianFrobenius * Math.sign(value)) / probes),
  };
}

/** Adds the mean penalty of the batch, when there are penalties, to "loss". */
export function planPenaltySum(work: LikelihoodWork, { capacity, count }: Chunk): Dispatch[] {
  if (!work.regularization) return [];
  const offset = rowsOf(work) * capacity;
  return penaltyRows.map((from) => planSum({ count, offset, scale: share(work, count), add: true, from, to: "loss" }));
}
