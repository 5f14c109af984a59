import { readable } from "../arrays.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { logScale, particleMultiple } from "../flow/trajectory.ts";
import { Arena } from "../gpu/arena.ts";
import { type Dispatch, mergeBuffers } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { planDrawRows } from "../kernels/likelihood-training.ts";
import { importParticles } from "../kernels/particles.ts";
import { drawProbes } from "../kernels/probes.ts";
import { networkOf } from "../network/of.ts";
import { type Chunk, type Conditions, names } from "../ode/engine.ts";
import { featureMajor } from "../ode/probes.ts";
import { checked } from "../options/schema.ts";
import { seedKey, streams } from "../random/philox.ts";
import { onDevice } from "../schedule/loss.ts";
import { flopsPerDispatch } from "../schedule/pacer.ts";
import type { SignOfLife } from "../schedule/sign-of-life.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { ofSteadyWeights } from "./alone.ts";
import { backwardOf } from "./backward-of.ts";
import { allocateAll, gradientBuffers, planPackings } from "./buffers.ts";
import { planReduceGradient } from "./dispatches.ts";
import { likelihoodFields, likelihoodGradientFields } from "./fields.ts";
import { fingerprint } from "./fingerprint.ts";
import { gradientResult, told, trainingSpeed } from "./gradient-result.ts";
import { largestBatch } from "./largest-batch.ts";
import { type LikelihoodSolve, likelihoodSolve, likelihoodTraining } from "./likelihood-options.ts";
import {
  type LikelihoodWork,
  likelihoodBuffers,
  likelihoodTangents,
  planLikelihoodGradient,
  planPenaltySum,
} from "./likelihood-plan.ts";
import { trainingLoop, trainingRows } from "./loop.ts";
import type { LikelihoodGradientOptions } from "./options.ts";
import { type LikelihoodPlan, trainableVelocity } from "./plan.ts";
import type { TrainingStep, TrainingTask } from "./task.ts";
import { likelihoodValidator } from "./validation.ts";

/** An activation whose slope has no slope, if a network has no other. */
function flatActivation(velocity: TrainableVelocity): string | undefined {
  const used = networkOf(velocity).program.steps.flatMap((step) =>
    step.kind === "map" && step.function.name === "activate" ? [step.function.activation] : [],
  );
  return used.every((activation) => activation === "relu" || activation === "leaky_relu") ? used[0] : undefined;
}

async function workOf(
  flow: Flow,
  velocity: TrainableVelocity,
  solve: LikelihoodSolve,
  conditions: Conditions,
): Promise<LikelihoodWork> {
  return {
    velocity,
    engine: await flow.forwardEngine(),
    backward: backwardOf(flow, velocity),
    source: flow.source,
    grid: solve.grid,
    divergence: solve.divergence.mode,
    conditions,
    constant: logScale(flow.normalization),
    regularization: solve.regularization,
  };
}

/**
 * Has the engine pack the weights for its own kernels where they have changed, and lends them to the arena; what it has of that name
 * from elsewhere is packed already. They stay as they are until the weights change, which is the caller's to do.
 */
async function lendShared({ engine }: LikelihoodWork, arena: Arena, lent: Set<string>): Promise<void> {
  const shared = await engine.shared(arena.session);
  for (const [name, buffer] of shared.buffers) {
    if (arena.has(name) && (!lent.has(name) || arena.buffer(name) === buffer)) continue;
    lent.add(name);
    arena.lend(name, buffer);
  }
  shared.release();
}

/** The probes of samples `first`, `first + 1`, …, unless they are given or not needed. */
function drawnProbes(
  { divergence, velocity }: LikelihoodWork,
  capacity: number,
  first: number,
  key: readonly [number, number],
): Dispatch[] {
  if (divergence.mode !== "probes" || divergence.kind === "given") return [];
  const { kind, count } = divergence;
  const { dim } = velocity;
  return [drawProbes({ kind, capacity, dim, count, first, key, stream: streams.probe, probes: names.probes })];
}

const capacityOf = (count: number) => Math.ceil(count / particleMultiple) * particleMultiple;

/** The steps of a training run whose options have been checked. */
export async function* runMaximumLikelihood(
  flow: Flow,
  data: DataRows,
  plan: LikelihoodPlan,
): AsyncGenerator<TrainingStep, undefined> {
  const { velocity, batchSize, options } = plan;
  const conditions: Conditions = {
    // a batch's labels and context are drawn on the device, into buffers that are filled with these at first
    labels: options.labels && new Uint32Array(batchSize),
    context: options.context && new Float32Array(batchSize * velocity.context),
    guidance: 1,
  };
  const flat = flatActivation(velocity);
  if (flat)
    console.warn(
      `${likelihoodTraining}: between its kinks a ${flat} network's divergence is constant, so its gradient says nothing of where they should be: prefer "silu" or "tanh"`,
    );
  const solve = likelihoodSolve(likelihoodTraining, options, velocity.dim, batchSize);
  const work = await workOf(flow, velocity, solve, conditions);
  return yield* trainingLoop(flow, plan, () => likelihoodTask(flow, data, plan, work));
}

function likelihoodTask(flow: Flow, data: DataRows, plan: LikelihoodPlan, work: LikelihoodWork): TrainingTask {
  const { labels, context } = plan.options;
  const { velocity, batchSize } = plan;
  const { dim } = velocity;
  const { backward } = work;
  const capacity = capacityOf(batchSize);
  const chunk: Chunk = { start: 0, count: batchSize, capacity, maxFlops: Number.POSITIVE_INFINITY };
  const lent = new Set<string>();
  const { rows, affine } = trainingRows(flow, data);
  return {
    what: likelihoodTraining,
    data,
    fingerprint() {
      const { grid, divergence, regularization } = work;
      const solver = { method: grid.tableau.name ?? grid.tableau, times: grid.times };
      const made = { solver, divergence, regularization };
      return fingerprint(flow, data, plan, likelihoodFields, likelihoodTraining, made);
    },
    validator: (validation) => likelihoodValidator(flow, validation, plan.options),
    backward,
    capacity,
    buffers: mergeBuffers([
      ...likelihoodBuffers(work, chunk),
      ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
      { name: "data", bytes: rows.byteLength, data: rows },
      { name: "affine", bytes: affine.byteLength, data: affine },
      ...(labels ? [{ name: "all labels", bytes: labels.byteLength, data: labels }] : []),
      ...(context ? [{ name: "all context", bytes: context.byteLength, data: context }] : []),
    ]),
    async batch(step, arena) {
      await lendShared(work, arena, lent);
      const first = step * batchSize;
      return [
        planDrawRows({
          capacity,
          dim,
          count: batchSize,
          rows: plan.rows,
          first,
          key: plan.key,
          stream: streams.batchIndex,
          context: velocity.context,
          names: {
            data: "data",
            affine: "affine",
            state: names.state,
            ...(labels ? { labels: ["all labels", "labels"] as [string, string] } : {}),
            ...(context ? { context: ["all context", "context"] as [string, string] } : {}),
          },
        }),
        ...drawnProbes(work, capacity, first, plan.key),
      ];
    },
    gradient: (maxFlops) => planLikelihoodGradient(work, { ...chunk, maxFlops }),
  };
}

/** What `likelihoodGradients` does, checks of its arguments included. */
export async function givenLikelihoodGradients(
  flow: Flow,
  given: DataRows,
  givenOptions: LikelihoodGradientOptions,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const what = "likelihoodGradients";
  const x = readable(`${what}: x`, given);
  const velocity = trainableVelocity(what, flow);
  const { dim } = velocity;
  const options = checked(what, likelihoodGradientFields, givenOptions);
  const count = particleCount(what, "x", x, dim, "data");
  if (count === 0) throw invalid(`${what}: x is empty, but a mean needs at least one row`);
  if (count > largestBatch)
    throw invalid(
      `${what}: x has ${count} rows, but a batch has at most ${largestBatch}: average the gradients of smaller ones`,
    );
  checkAllFinite(what, "x", x, dim);
  const solve = likelihoodSolve(what, options, dim, count);
  checkLabelled(what, options.labels, velocity);
  const work = await workOf(flow, velocity, solve, onHost(what, checkConditions(what, options, count, velocity)));
  const { vectors } = solve.divergence;
  const { backward } = work;
  const key = seedKey(options.seed);
  const parameters = networkOf(velocity).parameterCount;
  const capacity = capacityOf(count);
  const { rows, affine } = trainingRows(flow, x);
  const gradient = async (session: Session, sign: SignOfLife) => {
    const maxFlops = flopsPerDispatch(trainingSpeed(session, what, velocity));
    const chunk: Chunk = { start: 0, count, capacity, maxFlops };
    const flat = await flow.parameters.borrow(session);
    const arena = new Arena(session);
    try {
      arena.lend("parameters", flat.buffer);
      await allocateAll(
        arena,
        mergeBuffers([
          ...likelihoodBuffers(work, chunk),
          ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
          { name: "rows", bytes: rows.byteLength, data: rows },
          { name: "affine", bytes: affine.byteLength, data: affine },
          { name: "loss", bytes: 4, data: Float32Array.of(0) },
          ...(vectors
            ? [
                {
                  name: names.probes,
                  bytes: vectors.byteLength,
                  data: featureMajor(vectors, count, dim, vectors.length / (count * dim), chunk),
                },
              ]
            : []),
        ]),
      );
      await lendShared(work, arena, new Set());
      const dispatches = [
        ...planPackings(backward),
        importParticles({ count, capacity, dim, rows: "rows", state: names.state, affine: "affine" }),
        ...drawnProbes(work, capacity, 0, key),
        ...planLikelihoodGradient(work, chunk),
        ...planPenaltySum(work, chunk),
        planReduceGradient({ count: parameters, segments: backward.copies(capacity), norm: false }),
      ];
      return await gradientResult(flow, velocity, what, arena, dispatches, sign);
    } finally {
      arena.release();
      flat.release();
    }
  };
  return ofSteadyWeights(flow, what, () =>
    told(options.onProgress, count, (sign) => onDevice(flow.gpu, what, (session) => gradient(session, sign))),
  );
}
