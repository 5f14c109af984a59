import { planSum } from "../../shaders/optimizer.ts";
import { freeRows } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { Arena } from "../gpu/arena.ts";
import { mergeBuffers } from "../gpu/kernel.ts";
import { mapCopy } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import { checked } from "../options/schema.ts";
import type { Progress } from "../schedule/job.ts";
import { budgetOf } from "../schedule/memory.ts";
import { flopsPerDispatch } from "../schedule/pacer.ts";
import type { MatchingBackward } from "./backward.ts";
import { allocateAll, gradientBuffers, planPackings } from "./buffers.ts";
import type { CheckedLikelihood } from "./fields.ts";
import { isGiven } from "./given-pairs.ts";
import { validationFields } from "./later-fields.ts";
import { givenConditions, withLengths } from "./lengths.ts";
import type { ValidationOptions } from "./options.ts";
import type { FlowMatchingPlan, TrainingPlan } from "./plan.ts";
import type { TrainingTask, Validator } from "./task.ts";
import { weightingOf } from "./times.ts";

/** When a training is judged, and what follows of it. */
export interface Judging {
  /** Steps between two evaluations of the validation data; 0 for none. */
  readonly every: number;
  /** Evaluations without a smaller loss after which the training ends. */
  readonly patience: number;
  readonly keepBest: boolean;
}

/** Checks the option `validation`. */
export function checkValidation(
  what: string,
  { transform }: Pick<Flow, "transform">,
  { velocity, logEvery, options }: TrainingPlan,
): Judging {
  const { validation, labels } = options;
  const { coupling, shortcut } = options as Partial<FlowMatchingPlan["options"]>;
  const given = givenConditions(velocity, shortcut);
  if (validation === undefined) return { every: 0, patience: Infinity, keepBest: false };
  const name = `${what}: validation`;
  const o = checked(name, validationFields, validation, `${name}.`);
  const rows = particleCount(name, "data", o.data, velocity.dim, "data");
  if (rows === 0) throw invalid(`${name}: data is empty, but a mean needs at least one row`);
  checkAllFinite(name, "data", o.data, velocity.dim);
  freeRows(name, "data", o.data, transform);
  if (o.source !== undefined && !isGiven(coupling))
    throw invalid(
      `${name}.source was given, but the training has no pairs that are: pass coupling: "paired", or leave it out`,
    );
  if (labels !== undefined) checkLabelled(name, o.labels, velocity);
  const { context } = onHost(name, checkConditions(name, conditionsOf(o), rows, given));
  if (context) checkAllFinite(name, "context", context, given.context);
  return { every: o.every ?? logEvery, patience: o.patience, keepBest: o.keepBest };
}

const conditionsOf = ({ labels, context }: ValidationOptions) => ({
  ...(labels !== undefined && { labels }),
  ...(context !== undefined && { context }),
});

/**
 * Flow matching: the mean over draws that are the same each time, in batches as training makes them, of its path and its pairs, with
 * every label kept. Draws are counted by a key that no seed has.
 */
export function flowMatchingValidator(
  o: ValidationOptions,
  plan: FlowMatchingPlan,
  taskOf: (data: DataRows, plan: FlowMatchingPlan, batches: number) => TrainingTask<MatchingBackward>,
): Validator {
  const { velocity, batchSize } = plan;
  const { dim } = velocity;
  const weighted = weightingOf(plan.options) !== undefined;
  const rows = o.data.length / dim;
  const batches = Math.ceil((o.samples ?? rows) / batchSize);
  const { labels: _, context: __, noise: ___, rowWeights: ____, contextDropout: _____, ...rest } = plan.options;
  const own: FlowMatchingPlan = {
    ...plan,
    options: {
      ...rest,
      ...conditionsOf(o),
      ...(rest.shortcut && { context: withLengths(o.context, rows, velocity.context) }),
    },
    rows,
    labelDropout: 0,
    key: [plan.key[0], (plan.key[1] ^ 0x80000000) >>> 0],
  };
  const task = taskOf(o.data, own, batches);
  const { what, backward, capacity } = task;
  let arena: Arena | undefined;
  let staging: GPUBuffer | undefined;
  let giveBack: (() => void) | undefined;

  async function allocated(session: Session): Promise<Arena> {
    if (arena) return arena;
    arena = new Arena(session);
    const forward = mergeBuffers([...gradientBuffers(backward, velocity, capacity), ...task.buffers]);
    await allocateAll(arena, [
      ...forward.filter(({ name }) => name !== "partials" && name !== "gradient"),
      { name: "loss", bytes: 4, data: Float32Array.of(0) },
    ]);
    giveBack = budgetOf(session).hold(arena.bytes);
    staging = await session.buffers.acquire(4, "staging", "validation loss");
    return arena;
  }

  const dispatches = (maxFlops: number) => [
    ...backward.squares({ capacity, count: batchSize, maxFlops, weighted }),
    planSum({ count: capacity, scale: 1 / (batchSize * dim), add: true, from: "squares", to: "loss" }),
  ];

  return {
    dispatches,
    async loss(weights, pacer) {
      const { session } = pacer;
      const own = await allocated(session);
      own.lend("parameters", weights);
      const maxFlops = flopsPerDispatch(pacer.speed);
      await pacer.submit(own, what, planPackings(backward));
      for (let k = 0; k < batches; k++) {
        await pacer.submit(own, what, [...(await task.batch(k, own, maxFlops)), ...dispatches(maxFlops)]);
      }
      const copy = staging;
      if (!copy) throw new Error("allocated with the arena");
      await pacer.submit(own, what, [], (encoder) => {
        encoder.copyBufferToBuffer(own.buffer("loss"), 0, copy, 0, 4);
        encoder.clearBuffer(own.buffer("loss"), 0, 4);
      });
      const sum = item(new Float32Array(await pacer.answer(() => mapCopy(session, copy, 4))), 0);
      return sum / batches;
    },
    release() {
      giveBack?.();
      if (staging) arena?.session.buffers.release(staging);
      arena?.release();
    },
  };
}

/** Maximum likelihood: −mean log p of all rows, by the solver of the training; NaN when that of a row is not finite. */
export function likelihoodValidator(
  flow: Flow,
  o: ValidationOptions,
  { solver, divergence, objective, seed, signal }: CheckedLikelihood,
): Validator {
  const { gpu, normalization, transform, velocitySpec, source } = flow;
  // the weights in question may not be the flow's own
  const judged = Flow.create(gpu, {
    velocity: velocitySpec,
    source: source.options,
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  });
  return {
    async loss(weights, { session }, sign) {
      const { parameters } = judged;
      const target = await parameters.buffer(session);
      const encoder = session.device.createCommandEncoder();
      encoder.copyBufferToBuffer(weights, 0, target, 0, parameters.count * 4);
      session.device.queue.submit([encoder.finish()]);
      parameters.changed();
      const { mean, nonFinite, unfinished } = await judged.meanLogProb(o.data, {
        ...conditionsOf(o),
        solver,
        seed,
        ...(divergence && { divergence }),
        ...(objective && { objective }),
        ...(signal && { signal }),
        ...(sign.isHeard && { onProgress: (waiting: Progress) => sign.passOn(waiting) }),
      });
      return nonFinite + unfinished > 0 ? Number.NaN : -mean;
    },
    release: () => judged.dispose(),
  };
}
