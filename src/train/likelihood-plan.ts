import { currently, type Numeric, scaled } from "../../shaders/interface.ts";
import { planCombine, planSourceScore } from "../../shaders/likelihood-training.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { plainSources } from "../../shaders/particles.ts";
import { hasParts } from "../../shaders/source-kinds.ts";
import { partSources } from "../../shaders/source-parts.ts";
import { planFinishStep, planMix, planStageInput } from "../../shaders/stages.ts";
import { planDeterminantAdjoint, planStageMatrix, planStepDeterminants } from "../../shaders/step-jacobian.ts";
import { planLogProb } from "../flow/log-prob.ts";
import type { SourceSpec } from "../flow/source.ts";
import { densityName, sourceBuffers } from "../flow/states.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import {
  type Chunk,
  type Conditions,
  type Engine,
  type Integration,
  integralsOf,
  names,
  tangentsOf,
} from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import { integrationBuffers, stateRows } from "../ode/integration.ts";
import { stageRow } from "../solvers/stage-row.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { type Batch, keepsFirstStage, type LikelihoodBackward, type MostTangents, type Penalty } from "./backward.ts";
import { planConditions } from "./conditions.ts";
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
const share = ({ isSum }: LikelihoodWork, count: number) => (isSum ? 1 : 1 / count);

/** Tangents of a pass that needs the divergence: all of them, in groups. */
function tangentTotal({ velocity, integration: { divergence } }: LikelihoodWork): number {
  return tangentsOf(velocity.dim, divergence);
}

/** The buffer of a stage's tangents. */
const matrix = "matrix";

/** The output cotangents of a step's passes: of the first group of tangents, and of the others. */
const penaltyRows = ["kappa", "nothing"] as const;

/** Adds the mean penalty of the batch, when there are penalties, to "loss". */
export function planPenaltySum(work: LikelihoodWork, { capacity, count }: Chunk): Dispatch[] {
  if (!work.regularization) return [];
  const offset = rowsOf(work) * capacity;
  return penaltyRows.map((from) => planSum({ count, offset, scale: share(work, count), add: true, from, to: "loss" }));
}

/** Rows of a state, of a stage and of their adjoints: with the Jacobian of the step behind them where the steps themselves count. */
const rowsOf = ({ velocity, integration }: LikelihoodWork) => stateRows(velocity.dim, integration.divergence);

const isDiscrete = ({ integration }: LikelihoodWork) => integration.divergence.mode === "discrete";

/** Tangents of the largest pass. */
export function likelihoodTangents(work: LikelihoodWork): MostTangents {
  if (isDiscrete(work)) return { count: work.velocity.dim, kind: "matrix" };
  return { count: Math.min(work.backward.mostTangents, tangentTotal(work)), kind: "trace" };
}

const keepsStages = ({ integration: { stages, divergence }, velocity }: LikelihoodWork) =>
  keepsFirstStage(stages, divergence.mode === "probes", velocity);

/** The buffer with the velocity of stage `i` of a step. */
const stageName = (work: LikelihoodWork, step: number, i: number) =>
  keepsStages(work) ? `first stage ${step}` : `stage ${i}`;

/**
 * Buffers beside those of {@link gradientBuffers}: the states at every grid time and what is kept of a stage (steps·n·dim;
 * activations are recomputed), stage velocities and adjoints, and what the forward solve needs, probes apart.
 */
export function likelihoodBuffers(work: LikelihoodWork, chunk: Chunk): PlannedBuffer[] {
  const { velocity, engine, grid, integration, conditions, source } = work;
  const { capacity, count } = chunk;
  const rows = (name: string, features = rowsOf(work)): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
  const { stages } = integration;
  const steps = grid.times.length - 1;
  const { integral, base } = logProbOf(work, chunk);
  return [
    ...integrationBuffers(engine, chunk, conditions, integration),
    ...sourceBuffers(source),
    integral,
    base,
    { name: "logProb", bytes: count * 4 },
    ...Array.from({ length: isDiscrete(work) ? steps + 1 : steps }, (_, k) => rows(`state ${k}`)),
    ...(isDiscrete(work) ? [rows(matrix, velocity.dim ** 2)] : []),
    ...(keepsStages(work)
      ? Array.from({ length: steps }, (_, k) => rows(stageName(work, k, 0)))
      : Array.from({ length: stages - 1 }, (_, i) => rows(stageName(work, 0, i)))),
    ...Array.from({ length: stages }, (_, i) => rows(`eta ${i}`)),
    ...["adjoint", "eta part"].map((name) => rows(name)),
    // penalties are gathered in a row behind the cotangents that they come with
    ...penaltyRows.map((name) => rows(name, rowsOf(work) + 1)),
  ];
}

const logProbOf = ({ source, velocity, integration, constant }: LikelihoodWork, chunk: Chunk) =>
  planLogProb(
    source,
    velocity.dim,
    integration.divergence,
    "backward",
    constant,
    chunk,
    hasParts(source.kind) ? partSources : plainSources,
  );

/**
 * The forward solve: "state" at t = 1 is carried to the source, every state is kept, and behind it the Jacobian of the step to it where
 * steps have one; −mean log p is added to "loss".
 */
function planForward(work: LikelihoodWork, chunk: Chunk): Dispatch[] {
  const { velocity, engine, grid, integration, conditions, leastDeterminant } = work;
  const { capacity, count } = chunk;
  const probes = integralsOf(integration.divergence);
  const steps = grid.times.length - 1;
  const { density, finish } = logProbOf(work, chunk);
  const keepState = (k: number) =>
    planMix({ capacity, dim: rowsOf(work), weight: 1, add: false, value: names.state, target: `state ${k}` });
  return [
    ...planCombine({ capacity, dim: probes, target: names.integral, terms: [] }),
    ...engine.begin(chunk, conditions, true),
    ...Array.from({ length: steps }, (_, step) => [
      keepState(step),
      ...engine.integrate(
        chunk,
        conditions,
        { ...integration, ...(keepsStages(work) && { kept: stageName(work, step, 0) }) },
        step,
        step + 1,
      ),
    ]).flat(),
    ...(isDiscrete(work) ? [keepState(steps)] : []),
    // in place of what the engine has summed
    ...(leastDeterminant > 0
      ? planStepDeterminants({
          capacity,
          dim: velocity.dim,
          least: leastDeterminant,
          states: Array.from({ length: steps }, (_, k) => `state ${k + 1}`),
          integral: names.integral,
        })
      : []),
    density,
    finish("logProb"),
    planSum({ count, scale: -share(work, count), add: true, from: "logProb", to: "loss" }),
  ];
}

/**
 * One step in reverse: with λ the adjoint behind it, every stage gets κ_i = h b_i λ + Σ_{j>i} h a_ji η_j and δ_i = −h b_i/n, its
 * pass gives η_i = ∂/∂y (κ_i·u + δ_i div u), and λ grows by Σ η_i. This is the derivative of the discrete step itself
 * (discretise-then-optimise; Gholami et al. 2019; docs/mathematics.md, Maximum likelihood), with the stages' inputs recomputed from
 * the kept state. Where the steps themselves count, the matrix V of a stage's tangents goes with y, K = ∂u/∂y V with k, and their adjoints
 * with those of y and k, in rows behind them: the coefficients are the same.
 */
function planReverseStep(work: LikelihoodWork, batch: Batch, step: number, begin: boolean): Dispatch[] {
  const { velocity, backward, integration, leastDeterminant } = work;
  const { capacity, count } = batch;
  const { dim } = velocity;
  const { stages, divergence } = integration;
  const row = (i: number) => stageRow(integration.schedule, stages, step, i, integration.isLive);
  const total = tangentTotal(work);
  const worth = -share(work, count) / integralsOf(divergence);
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
  if (!keepsStages(work)) {
    for (let i = 0; i + 1 < stages; i++)
      dispatches.push(...input(i), ...backward.velocity(batch, stageName(work, step, i), tangents));
  }
  let first = begin;
  for (let i = stages - 1; i >= 0; i--) {
    const { weight } = row(i);
    const isFree = currently(weight) === 0;
    const terms: { weight: Numeric; rows: string }[] = [{ weight, rows: "adjoint" }];
    for (let j = i + 1; j < stages; j++) terms.push({ weight: item(row(j).a, i), rows: `eta ${j}` });
    dispatches.push(
      ...input(i),
      ...planCombine({
        capacity,
        dim: rowsOf(work),
        target: "kappa",
        terms: terms.filter((term) => currently(term.weight) !== 0),
      }),
    );
    // the divergence's gradient is linear in its tangents: the first group goes with κ, each further one alone
    const groups = isFree || tangents ? 1 : Math.max(1, Math.ceil(total / backward.mostTangents));
    for (let group = 0; group < groups; group++) {
      const from = group * backward.mostTangents;
      dispatches.push(
        ...backward.pass(batch, {
          cotangent: group === 0 ? "kappa" : "nothing",
          xbar: group === 0 ? `eta ${i}` : "eta part",
          tangents: tangents ?? {
            count: isFree ? 0 : Math.min(backward.mostTangents, total - from),
            first: from,
            weight: scaled(weight, worth),
            ...(divergence.mode === "probes" ? { probes: names.probes } : {}),
          },
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

/**
 * Dispatches from "state" (data in the flow's own space) to "loss" (added) and "partials": −mean log p and its gradient by the weights. That by
 * the data is in the first rows of "adjoint" then, and log p of each row in "logProb".
 */
export function planLikelihoodGradient(work: LikelihoodWork, chunk: Chunk): Dispatch[] {
  const { velocity, grid, conditions, source } = work;
  const { capacity, count } = chunk;
  const { dim } = velocity;
  const steps = grid.times.length - 1;
  return [
    ...planForward(work, chunk),
    planSourceScore({
      kind: source.kind,
      parts: source.parts,
      capacity,
      dim,
      count,
      scale: share(work, count),
      names: { source: densityName(source), state: names.state, density: "base", adjoint: "adjoint" },
    }),
    ...penaltyRows.flatMap((target) => planCombine({ capacity, dim: rowsOf(work) + 1, target, terms: [] })),
    ...planConditions(velocity, chunk, conditions),
    ...Array.from({ length: steps }, (_, back) => planReverseStep(work, chunk, steps - 1 - back, back === 0)).flat(),
  ];
}
