import { inPart } from "../../shaders/dispatch.ts";
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
import { item, must } from "../must.ts";
import { networkOf } from "../network/of.ts";
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
import { inputRows } from "../velocity/run.ts";
import {
  type Batch,
  type KeptPasses,
  keepsFirstStage,
  type LikelihoodBackward,
  type MostTangents,
  type Penalty,
} from "./backward.ts";
import { gradientBuffers } from "./buffers.ts";
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

/** Bytes up to which the values of passes are kept for their gradients by the weights, which are then found together. */
const mostKept = 32 << 20;

/** Passes whose gradients by the weights are found together. */
interface Group {
  /** Of the parts of their buffers, those of passes with tangents come first, then those without. */
  readonly tangents: number;
  readonly none: number;
  readonly begin: boolean;
}

/** How gradients by the weights are put off: the part of each pass, in their order, and the groups that end with some of them. */
interface Later {
  readonly parts: ReadonlyMap<string, number>;
  readonly most: number;
  readonly passes: readonly { readonly part: number; readonly ends: Group | undefined }[];
}

function laterOf(work: LikelihoodWork, capacity: number): Later | undefined {
  const { velocity, backward, grid, integration, regularization, isSum } = work;
  const { later } = backward;
  const total = tangentTotal(work);
  if (!later || isSum || regularization || (!isDiscrete(work) && total > backward.mostTangents)) return undefined;
  const parts = new Map(
    [
      ...later.buffers(capacity, likelihoodTangents(work)),
      { name: "h0", bytes: 4 * inputRows(networkOf(velocity)) * capacity },
      { name: "kappa", bytes: 4 * rowsOf(work) * capacity },
      ...(isDiscrete(work) ? [{ name: matrix, bytes: 4 * velocity.dim ** 2 * capacity }] : []),
    ].map(({ name, bytes }) => [name, bytes]),
  );
  const bytes = [...parts.values()].reduce((sum, part) => sum + part, 0);
  const { stages, schedule, isLive } = integration;
  const steps = grid.times.length - 1;
  const count = steps * stages;
  const fitting = Math.min(count, Math.floor(mostKept / bytes));
  if (fitting < 2) return undefined;
  const most = Math.ceil(count / Math.ceil(count / fitting));
  const hasTangents = Array.from({ length: count }, (_, n) => {
    const step = steps - 1 - Math.floor(n / stages);
    const { weight } = stageRow(schedule, stages, step, stages - 1 - (n % stages), isLive);
    return isDiscrete(work) || (total > 0 && currently(weight) !== 0);
  });
  const passes = hasTangents.map((has, n) => {
    const begin = n - (n % most);
    const group = hasTangents.slice(begin, begin + most);
    const tangents = group.filter(Boolean).length;
    const before = group.slice(0, n - begin).filter((other) => other === has).length;
    const isLast = n === begin + group.length - 1;
    return {
      part: has ? before : tangents + before,
      ends: isLast ? { tangents, none: group.length - tangents, begin: begin === 0 } : undefined,
    };
  });
  return { parts, most, passes };
}

/** The gradients by the weights of a group of passes. */
function planWeights(work: LikelihoodWork, batch: Batch, { parts }: Later, group: Group): Dispatch[] {
  const later = must(work.backward.later, "gradients that are put off");
  const { tangents, none, begin } = group;
  const { count } = likelihoodTangents(work);
  const of = (passes: number, first: number, with_: KeptPasses["tangents"], begins: boolean) =>
    passes > 0
      ? later.weights(batch, { cotangent: "kappa", tangents: with_, begin: begins, first, passes, parts })
      : [];
  return [
    ...of(tangents, 0, isDiscrete(work) ? { count, matrix } : { count }, begin),
    ...of(none, tangents, { count: 0 }, begin && tangents === 0),
  ];
}

/** The buffer with the velocity of stage `i` of a step. */
const stageName = (work: LikelihoodWork, step: number, i: number) =>
  keepsStages(work) ? `first stage ${step}` : `stage ${i}`;

/**
 * Buffers of a gradient: those of the passes, the states at every grid time and what is kept of a stage (steps·n·dim; activations are
 * recomputed), stage velocities and adjoints, and what the forward solve needs, probes apart.
 */
export function likelihoodBuffers(work: LikelihoodWork, chunk: Chunk): PlannedBuffer[] {
  const { velocity, engine, backward, grid, integration, conditions, source } = work;
  const { capacity, count } = chunk;
  const rows = (name: string, features = rowsOf(work)): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
  const { stages } = integration;
  const steps = grid.times.length - 1;
  const { integral, base } = logProbOf(work, chunk);
  const later = laterOf(work, capacity);
  return [
    ...integrationBuffers(engine, chunk, conditions, integration),
    ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
    ...sourceBuffers(source),
    integral,
    base,
    { name: "logProb", bytes: count * 4 },
    ...Array.from({ length: isDiscrete(work) ? steps + 1 : steps }, (_, k) => rows(`state ${k}`)),
    ...(isDiscrete(work) ? [rows(matrix, velocity.dim ** 2)] : []),
    ...(keepsStages(work)
      ? Array.from({ length: steps }, (_, k) => rows(stageName(work, k, 0)))
      : Array.from({ length: stages - 1 }, (_, i) => rows(stageName(work, 0, i)))),
    ...[...Array.from({ length: stages }, (_, i) => `eta ${i}`), "eta part"].map((name) =>
      rows(name, Math.max(rowsOf(work), inputRows(networkOf(velocity)))),
    ),
    rows("adjoint"),
    // penalties are gathered in a row behind the cotangents that they come with
    ...penaltyRows.map((name) => rows(name, rowsOf(work) + 1)),
    ...(later ? Array.from(later.parts, ([name, bytes]) => ({ name, bytes: later.most * bytes })) : []),
    ...(later ? must(work.backward.later, "gradients that are put off").tables(likelihoodTangents(work)) : []),
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
        { ...integration, goesOn: step > 0, ...(keepsStages(work) && { kept: stageName(work, step, 0) }) },
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
function planReverseStep(
  work: LikelihoodWork,
  batch: Batch,
  step: number,
  begin: boolean,
  later: Later | undefined,
): Dispatch[] {
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
  const steps = work.grid.times.length - 1;
  const laterAt = (i: number) => later?.passes[(steps - 1 - step) * stages + stages - 1 - i];
  const inPartOf = (i: number, own: readonly Dispatch[]) => {
    const at = laterAt(i);
    return later && at ? inPart(own, at.part, later.parts) : own;
  };
  if (!keepsStages(work)) {
    // the inputs of the first pass are made anew in their part
    for (let i = 0; i + 1 < stages; i++) {
      const own = [...input(i), ...backward.velocity(batch, stageName(work, step, i), tangents)];
      dispatches.push(...inPartOf(stages - 1, own));
    }
  }
  let first = begin;
  for (let i = stages - 1; i >= 0; i--) {
    const { weight } = row(i);
    const isFree = currently(weight) === 0;
    const terms: { weight: Numeric; rows: string }[] = [{ weight, rows: "adjoint" }];
    for (let j = i + 1; j < stages; j++) terms.push({ weight: item(row(j).a, i), rows: `eta ${j}` });
    const before = [
      ...input(i),
      ...planCombine({
        capacity,
        dim: rowsOf(work),
        target: "kappa",
        terms: terms.filter((term) => currently(term.weight) !== 0),
      }),
    ];
    const traced = (from: number) => ({
      count: isFree ? 0 : Math.min(backward.mostTangents, total - from),
      first: from,
      weight: scaled(weight, worth),
      ...(divergence.mode === "probes" ? { probes: names.probes } : {}),
    });
    const at = laterAt(i);
    if (later && at) {
      const pass = { cotangent: "kappa", xbar: `eta ${i}`, tangents: tangents ?? traced(0) };
      const own = [...before, ...must(backward.later, "gradients that are put off").pass(batch, pass)];
      dispatches.push(...inPartOf(i, own), ...(at.ends ? planWeights(work, batch, later, at.ends) : []));
      continue;
    }
    dispatches.push(...before);
    // the divergence's gradient is linear in its tangents: the first group goes with κ, each further one alone
    const groups = isFree || tangents ? 1 : Math.max(1, Math.ceil(total / backward.mostTangents));
    for (let group = 0; group < groups; group++) {
      const from = group * backward.mostTangents;
      dispatches.push(
        ...backward.pass(batch, {
          cotangent: group === 0 ? "kappa" : "nothing",
          xbar: group === 0 ? `eta ${i}` : "eta part",
          tangents: tangents ?? traced(from),
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
  const later = laterOf(work, capacity);
  const given = planConditions(velocity, chunk, conditions);
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
    // neither penalties nor further groups of tangents are put off
    ...(later ? [] : penaltyRows).flatMap((target) =>
      planCombine({ capacity, dim: rowsOf(work) + 1, target, terms: [] }),
    ),
    ...(later ? Array.from({ length: later.most }, (_, part) => inPart(given, part, later.parts)).flat() : given),
    ...Array.from({ length: steps }, (_, back) =>
      planReverseStep(work, chunk, steps - 1 - back, back === 0, later),
    ).flat(),
  ];
}
