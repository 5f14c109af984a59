import { readable } from "../arrays.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { logScale } from "../flow/log-prob.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { affineBuffer, affineName, planImport } from "../flow/states.ts";
import { Arena } from "../gpu/arena.ts";
import { mergeBuffers } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { planDrawRows } from "../kernels/likelihood-training.ts";
import { networkOf } from "../network/of.ts";
import { type Conditions, chunkOf, names } from "../ode/engine.ts";
import { integrationOf } from "../ode/integration.ts";
import { planProbes } from "../ode/probes.ts";
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
    integration: integrationOf(solve.grid, solve.divergence.mode),
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
  const chunk = chunkOf(0, batchSize, Number.POSITIVE_INFINITY);
  const { capacity } = chunk;
  const mode = work.integration.divergence;
  const probesFrom = (first: number) => planProbes({ mode, total: batchSize, dim, chunk, first, key: plan.key });
  const lent = new Set<string>();
  const { rows, affine } = trainingRows(flow, data);
  return {
    what: likelihoodTraining,
    data,
    fingerprint() {
      const { grid, integration, regularization } = work;
      const { divergence } = integration;
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
      ...probesFrom(0).buffers,
      { name: "data", bytes: rows.byteLength, data: rows },
      affineBuffer(affine),
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
            affine: affineName,
            state: names.state,
            ...(labels ? { labels: ["all labels", "labels"] as [string, string] } : {}),
            ...(context ? { context: ["all context", "context"] as [string, string] } : {}),
          },
        }),
        ...probesFrom(first).dispatches,
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
  const { backward } = work;
  const key = seedKey(options.seed);
  const parameters = networkOf(velocity).parameterCount;
  const { rows, affine } = trainingRows(flow, x);
  const gradient = async (session: Session, sign: SignOfLife) => {
    const maxFlops = flopsPerDispatch(trainingSpeed(session, what, velocity));
    const chunk = chunkOf(0, count, maxFlops);
    const { capacity } = chunk;
    const start = planImport(rows, chunk, dim, { isData: true });
    const probes = planProbes({ ...solve.divergence, total: count, dim, chunk, first: 0, key });
    const flat = await flow.parameters.borrow(session);
    const arena = new Arena(session);
    try {
      arena.lend("parameters", flat.buffer);
      await allocateAll(
        arena,
        mergeBuffers([
          ...likelihoodBuffers(work, chunk),
          ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
          ...start.buffers,
          ...probes.buffers,
          affineBuffer(affine),
          { name: "loss", bytes: 4, data: Float32Array.of(0) },
        ]),
      );
      await lendShared(work, arena, new Set());
      const dispatches = [
        ...planPackings(backward),
        ...start.dispatches,
        ...probes.dispatches,
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
