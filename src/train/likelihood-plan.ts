import { inPart } from "../../shaders/dispatch.ts";
import { planCombine, planSourceScore } from "../../shaders/likelihood-training.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { plainSources } from "../../shaders/particles.ts";
import { hasParts } from "../../shaders/source-kinds.ts";
import { partSources } from "../../shaders/source-parts.ts";
import { planMix } from "../../shaders/stages.ts";
import { planStepDeterminants } from "../../shaders/step-jacobian.ts";
import { planLogProb } from "../flow/log-prob.ts";
import { densityName, sourceBuffers } from "../flow/states.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { networkOf } from "../network/of.ts";
import { type Chunk, integralsOf, names } from "../ode/engine.ts";
import { integrationBuffers } from "../ode/integration.ts";
import { inputRows } from "../velocity/run.ts";
import { gradientBuffers } from "./buffers.ts";
import { planConditions } from "./conditions.ts";
import { type Later, laterOf } from "./later-weights.ts";
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
  const { integral, base } = logProbOf(work, chunk);
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
    ...(later ? later.weights.tables(likelihoodTangents(work)) : []),
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

function planGradient(work: LikelihoodWork, chunk: Chunk, later: Later | undefined): Dispatch[] {
  const { velocity, grid, conditions, source } = work;
  const { capacity, count } = chunk;
  const { dim } = velocity;
  const steps = grid.times.length - 1;
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
