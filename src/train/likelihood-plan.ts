import { inPart } from "../../shaders/dispatch.ts";
import { scaled } from "../../shaders/interface.ts";
import { planCombine, planSourceScore } from "../../shaders/likelihood-training.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { plainSources } from "../../shaders/particles.ts";
import { hasParts } from "../../shaders/source-kinds.ts";
import { partSources } from "../../shaders/source-parts.ts";
import { planFinishStep, planMix, planStageInput } from "../../shaders/stages.ts";
import { planStageMatrix, planStepDeterminants, planStepJacobian } from "../../shaders/step-jacobian.ts";
import { planTangentDot } from "../../shaders/tangents.ts";
import { planLogProb } from "../flow/log-prob.ts";
import { densityName, sourceBuffers } from "../flow/states.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import { networkOf } from "../network/of.ts";
import { type Chunk, integralsOf, names } from "../ode/engine.ts";
import { integrationBuffers } from "../ode/integration.ts";
import { stageRow } from "../solvers/stage-row.ts";
import { inputRows } from "../velocity/run.ts";
import type { Batch } from "./backward.ts";
import { gradientBuffers } from "./buffers.ts";
import { planConditions } from "./conditions.ts";
import { type Later, laterOf, laterPass } from "./later-weights.ts";
import { planReverseStep } from "./likelihood-reverse.ts";
import {
  isDiscrete,
  keepsStages,
  type LikelihoodWork,
  likelihoodTangents,
  matrix,
  penaltyRows,
  rowsOf,
  share,
  stageName,
  tangentsOfPass,
  velocityName,
} from "./likelihood-work.ts";

/** How a likelihood's gradient is found over a chunk. */
export interface PlannedGradient {
  /**
   * Those of the passes, the states at every grid time and what is kept of a stage (steps·n·dim; activations are recomputed), stage
   * velocities and adjoints, and what the forward solve needs, probes apart.
   */
  readonly buffers: PlannedBuffer[];
  /**
   * From "state" (data in the flow's own space) to "loss" (added) and "partials": −mean log p and its gradient by the weights. That by
   * the data is in the first rows of "adjoint" then, and log p of each row in "logProb".
   */
  dispatches(maxFlops: number): Dispatch[];
}

export function planLikelihoodGradient(work: LikelihoodWork, chunk: Chunk): PlannedGradient {
  const later = laterOf(work, chunk.capacity);
  return {
    buffers: buffersOf(work, chunk, later),
    dispatches: (maxFlops) => planGradient(work, { ...chunk, maxFlops }, later),
  };
}

function buffersOf(work: LikelihoodWork, chunk: Chunk, later: Later | undefined): PlannedBuffer[] {
  const { velocity, engine, backward, grid, integration, conditions, source } = work;
  const { capacity, count } = chunk;
  const rows = (name: string, features = rowsOf(work)): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
  const { stages } = integration;
  const steps = grid.times.length - 1;
  const { keptFrom = steps } = later ?? {};
  const { integral, base } = logProbOf(work, chunk);
  return [
    ...integrationBuffers(engine, chunk, conditions, integration),
    ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
    ...sourceBuffers(source),
    integral,
    base,
    { name: "logProb", bytes: count * 4 },
    ...Array.from({ length: isDiscrete(work) ? steps + 1 : keptFrom }, (_, k) => rows(`state ${k}`)),
    ...(isDiscrete(work) ? [rows(matrix, velocity.dim ** 2)] : []),
    ...(keepsStages(work)
      ? Array.from({ length: keptFrom }, (_, k) => rows(stageName(work, k, 0)))
      : Array.from({ length: stages - 1 }, (_, i) => rows(stageName(work, 0, i)))),
    ...[...Array.from({ length: stages }, (_, i) => `eta ${i}`), "eta part"].map((name) =>
      rows(name, Math.max(rowsOf(work), inputRows(networkOf(velocity)))),
    ),
    rows("adjoint"),
    // penalties are gathered in a row behind the cotangents that they come with
    ...penaltyRows.map((name) => rows(name, rowsOf(work) + 1)),
    ...(later ? Array.from(later.parts, ([name, bytes]) => ({ name, bytes: later.most * bytes })) : []),
    ...(later
      ? [
          ...later.weights.tables(likelihoodTangents(work)),
          ...Array.from({ length: stages }, (_, i) => rows(velocityName(i))),
          { name: "jv", bytes: 4 * likelihoodTangents(work).count * velocity.dim * capacity },
        ]
      : []),
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
 * A step of the forward solve by the passes whose reverse comes later: each fills its part of what that reads. The divergence is added
 * up as engines do it.
 */
function planKeptStep(work: LikelihoodWork, batch: Batch, step: number, later: Later): Dispatch[] {
  const { velocity, integration } = work;
  const { stages, schedule, isLive, divergence } = integration;
  const { capacity, count } = batch;
  const { dim } = velocity;
  const { state, integral } = names;
  const isProbes = divergence.mode === "probes";
  const ks = Array.from({ length: stages }, (_, i) => velocityName(i));
  const rows = ks.map((_, i) => stageRow(schedule, stages, step, i, isLive));
  const passes = rows.map(({ time, weight, a }, i) => {
    const before = ks.slice(0, i);
    const tangents = tangentsOfPass(work, count, weight);
    const own = [
      ...planStageInput({ capacity, dim, time, a, ks: before, state, input: "h0" }),
      ...(isDiscrete(work) ? planStageMatrix({ capacity, dim, a, ks: before, matrix }) : []),
      ...later.weights.forward(batch, { output: item(ks, i), tangents }),
      ...("matrix" in tangents || tangents.count === 0
        ? []
        : [
            planTangentDot({
              capacity,
              dim,
              first: 0,
              tangents: tangents.count,
              weight: scaled(weight, -1),
              each: isProbes,
              begin: false,
              basis: !isProbes,
              products: "jv",
              tangentInput: "drows",
              sums: integral,
            }),
          ]),
    ];
    return inPart(own, laterPass(work, later, step, i).part, later.parts);
  });
  const b = rows.map(({ weight }) => weight);
  return [
    ...passes.flat(),
    ...planFinishStep({ capacity, dim, b, ks, state }),
    ...(isDiscrete(work) ? planStepJacobian({ capacity, dim, b, ks, state, integral }) : []),
  ];
}

/**
 * The forward solve: "state" at t = 1 is carried to the source, every state is kept, and behind it the Jacobian of the step to it where
 * steps have one; −mean log p is added to "loss".
 */
function planForward(work: LikelihoodWork, chunk: Chunk, later: Later | undefined): Dispatch[] {
  const { velocity, engine, grid, integration, conditions, leastDeterminant } = work;
  const { capacity, count } = chunk;
  const probes = integralsOf(integration.divergence);
  const steps = grid.times.length - 1;
  const { density, finish } = logProbOf(work, chunk);
  const { keptFrom = steps } = later ?? {};
  // what is kept of a step is enough for its reverse, unless that asks for the Jacobian
  const keepState = (k: number) =>
    k < keptFrom || isDiscrete(work)
      ? [planMix({ capacity, dim: rowsOf(work), weight: 1, add: false, value: names.state, target: `state ${k}` })]
      : [];
  return [
    ...planCombine({ capacity, dim: probes, target: names.integral, terms: [] }),
    ...engine.begin(chunk, conditions, true),
    ...Array.from({ length: steps }, (_, step) => [
      ...keepState(step),
      ...(later && step >= keptFrom
        ? planKeptStep(work, chunk, step, later)
        : engine.integrate(
            chunk,
            conditions,
            { ...integration, goesOn: step > 0, ...(keepsStages(work) && { kept: stageName(work, step, 0) }) },
            step,
            step + 1,
          )),
    ]).flat(),
    ...(isDiscrete(work) ? keepState(steps) : []),
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

function planGradient(work: LikelihoodWork, chunk: Chunk, later: Later | undefined): Dispatch[] {
  const { velocity, grid, conditions, source } = work;
  const { capacity, count } = chunk;
  const { dim } = velocity;
  const steps = grid.times.length - 1;
  const given = planConditions(velocity, chunk, conditions);
  return [
    // a part's forward pass reads them
    ...(later ? Array.from({ length: later.most }, (_, part) => inPart(given, part, later.parts)).flat() : []),
    ...planForward(work, chunk, later),
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
    ...(later ? [] : given),
    ...Array.from({ length: steps }, (_, back) =>
      planReverseStep(work, chunk, steps - 1 - back, back === 0, later),
    ).flat(),
  ];
}
