import { planDrawRows } from "../../shaders/likelihood-training.ts";
import { jacobianTexts } from "../../shaders/step-jacobian.ts";
import { logDeterminants } from "../data/transform-derivatives.ts";
import type { DataRows } from "../data/units.ts";
import type { Flow } from "../flow/flow.ts";
import { logScale } from "../flow/log-prob.ts";
import { affineBuffer, affineName } from "../flow/states.ts";
import type { Arena } from "../gpu/arena.ts";
import { mergeBuffers } from "../gpu/kernel.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { item } from "../must.ts";
import { networkOf } from "../network/of.ts";
import { type Conditions, chunkOf, names, tangentsOf } from "../ode/engine.ts";
import { integrationOf } from "../ode/integration.ts";
import { planProbes } from "../ode/probes.ts";
import { streams } from "../random/philox.ts";
import { schedule } from "../solvers/schedule.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { likelihoodBackward, trainingEngine } from "./backward-of.ts";
import { likelihoodFields } from "./fields.ts";
import { fingerprint } from "./fingerprint.ts";
import { jittered } from "./jitter.ts";
import { planLikelihoodGradient } from "./likelihood-plan.ts";
import { type LikelihoodSolve, likelihoodSolve, likelihoodTraining } from "./likelihood-solve.ts";
import type { LikelihoodWork } from "./likelihood-work.ts";
import { trainingLoop, trainingRows } from "./loop.ts";
import type { LikelihoodPlan } from "./plan.ts";
import { checkResolved } from "./resolved.ts";
import { makeRowDraws, type RowDraws, rowDrawsBuffer, rowDrawsName } from "./row-draws.ts";
import { planOfPart } from "./stepping.ts";
import type { TrainingStep, TrainingTask } from "./task.ts";
import { likelihoodValidator } from "./validation.ts";

/** An activation whose slope has no slope, if a network has no other. */
function flatActivation(velocity: TrainableVelocity): string | undefined {
  const used = networkOf(velocity).program.steps.flatMap((step) =>
    step.kind === "map" && step.function.name === "activate" ? [step.function.activation] : [],
  );
  return used.every((activation) => activation === "relu" || activation === "leaky_relu") ? used[0] : undefined;
}

/** What a likelihood gradient is planned for, on the way of `solve`, with so many rows `atOnce` at least. */
export async function workOf(
  flow: Flow,
  velocity: TrainableVelocity,
  solve: LikelihoodSolve,
  conditions: Conditions,
  data: DataRows,
  atOnce: number,
  rowWeights?: Float32Array,
): Promise<LikelihoodWork> {
  const integration = integrationOf(solve.grid, solve.divergence.mode, jacobianTexts);
  const { divergence } = integration;
  const kind = divergence.mode === "discrete" ? "matrix" : divergence.mode === "probes" ? "probes" : "basis";
  const tangents = { count: tangentsOf(velocity.dim, divergence), kind } as const;
  const shape = { tangents, penalised: solve.regularization !== undefined } as const;
  const made = async (chained: boolean): Promise<LikelihoodWork> => ({
    velocity,
    engine: await trainingEngine(flow, velocity, chained),
    backward: await likelihoodBackward(flow, velocity, shape, chained),
    source: flow.source,
    grid: solve.grid,
    integration,
    conditions,
    constant: logScale(flow.normalization) + meanGain(flow, data, rowWeights),
    leastDeterminant: solve.leastDeterminant,
    regularization: solve.regularization,
  });
  const work = await made(true);
  // the values of chains lie in one buffer, which is larger than any that layers need, and may be more than a device binds
  const { buffers } = planLikelihoodGradient(work, chunkOf(0, atOnce, Number.POSITIVE_INFINITY));
  const largest = Math.max(...buffers.map(({ bytes }) => bytes));
  return largest > largestBinding(flow.gpu.device.limits) ? made(false) : work;
}

/** What a transform adds to log p, over all rows of the data: it does not depend on the weights, so a batch's own mean would be noise. */
function meanGain({ transform, dim }: Flow, data: DataRows, weights: Float32Array | undefined): number {
  if (!transform) return 0;
  let [sum, total] = [0, 0];
  for (const [row, gain] of logDeterminants(data, transform, dim).entries()) {
    const weight = weights ? item(weights, row) : 1;
    sum += weight * gain;
    total += weight;
  }
  return sum / total;
}

/**
 * Has the engine pack the weights for its own kernels where they have changed, and lends them to the arena; what it has of that name
 * from elsewhere is packed already. They stay as they are until the weights change, which is the caller's to do.
 */
export async function lendShared({ engine }: LikelihoodWork, arena: Arena, lent: Set<string>): Promise<void> {
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
  checkResolved(likelihoodTraining, "data", flow, data);
  const part = planOfPart(likelihoodTraining, plan);
  const { velocity, batchSize, options } = part;
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
  const work = await workOf(flow, velocity, solve, conditions, data, batchSize, options.rowWeights);
  const draws = makeRowDraws(likelihoodTraining, flow, data, plan);
  return yield* trainingLoop(flow, plan, (parts) =>
    likelihoodTask(flow, data, planOfPart(likelihoodTraining, plan, parts), work, draws),
  );
}

function likelihoodTask(
  flow: Flow,
  data: DataRows,
  plan: LikelihoodPlan,
  work: LikelihoodWork,
  draws: RowDraws | undefined,
): TrainingTask {
  const { labels, context, jitter = 0 } = plan.options;
  const { velocity, batchSize } = plan;
  const { dim } = velocity;
  const { backward } = work;
  const chunk = chunkOf(0, batchSize, Number.POSITIVE_INFINITY);
  const { capacity } = chunk;
  const mode = work.integration.divergence;
  const probesFrom = (first: number) => planProbes({ mode, total: batchSize, dim, chunk, first, key: plan.key });
  const lent = new Set<string>();
  // a table of this task's own, which its plan reads at every step
  const table = work.integration.schedule.slice();
  const integration = { ...work.integration, schedule: table, isLive: jitter > 0 };
  const own: LikelihoodWork = { ...work, integration };
  const planned = planLikelihoodGradient(own, chunk);
  const { rows, affine } = trainingRows(likelihoodTraining, "data", flow, data);
  return {
    what: likelihoodTraining,
    data,
    fingerprint() {
      const { grid, integration, regularization, leastDeterminant } = work;
      const { divergence } = integration;
      const solver = { method: grid.tableau.name ?? grid.tableau, times: grid.times };
      // the objective is the mode of the divergence, and no jitter is none, however the two were said
      const noise = draws?.noise;
      const made = {
        ...{ solver, divergence, regularization, noise, objective: undefined, jitter: jitter || undefined },
        leastDeterminant: divergence.mode === "discrete" ? leastDeterminant : undefined,
      };
      return fingerprint(flow, data, plan, likelihoodFields, likelihoodTraining, made);
    },
    validator: (validation) => likelihoodValidator(flow, validation, plan.options),
    backward,
    capacity,
    buffers: mergeBuffers([
      ...planned.buffers,
      ...probesFrom(0).buffers,
      { name: "data", bytes: rows.byteLength, data: rows },
      affineBuffer(affine),
      ...(draws ? [rowDrawsBuffer(draws)] : []),
      ...(labels ? [{ name: "all labels", bytes: labels.byteLength, data: labels }] : []),
      ...(context ? [{ name: "all context", bytes: context.byteLength, data: context }] : []),
    ]),
    async batch(step, arena) {
      await lendShared(work, arena, lent);
      if (jitter > 0) {
        table.set(schedule(jittered(work.grid, jitter, step, plan.key)));
        arena.session.device.queue.writeBuffer(arena.buffer(names.schedule), 0, table);
      }
      const first = step * batchSize;
      return [
        planDrawRows({
          capacity,
          dim,
          count: batchSize,
          rows: plan.rows,
          shuffled: plan.options.rowOrder === "shuffled",
          first,
          key: plan.key,
          stream: streams.batchIndex,
          context: velocity.context,
          names: {
            data: "data",
            affine: affineName,
            state: names.state,
            labels: labels && { all: "all labels", drawn: "labels" },
            context: context && { all: "all context", drawn: "context" },
            draws: draws && rowDrawsName,
          },
        }),
        ...probesFrom(first).dispatches,
      ];
    },
    gradient: planned.dispatches,
  };
}
