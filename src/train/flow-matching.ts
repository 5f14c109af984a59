import { planBatch, planGivenBatch } from "../../shaders/flow-matching.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { type DataRows, ownRows } from "../data/units.ts";
import type { Flow } from "../flow/flow.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { padded } from "../ode/engine.ts";
import { backwardOf } from "./backward-of.ts";
import { gradientBuffers, residualBuffers } from "./buffers.ts";
import { planConditions } from "./conditions.ts";
import { type CouplingOptions, coupledBatch } from "./coupling.ts";
import { flowMatchingFields } from "./fields.ts";
import { fingerprint } from "./fingerprint.ts";
import { trainingLoop, trainingRows } from "./loop.ts";
import type { FlowMatchingPlan } from "./plan.ts";
import { makeRowDraws, type RowDraws, rowDrawsName } from "./row-draws.ts";
import type { TrainingStep, TrainingTask } from "./task.ts";
import { entriesAt, stratifiedLevel, type TrainingTimes, trainingTimes } from "./times.ts";
import { flowMatchingValidator } from "./validation.ts";

const what = "trainFlowMatching";

/** The steps of a training run whose options have been checked. */
export function runFlowMatching(
  flow: Flow,
  data: DataRows,
  plan: FlowMatchingPlan,
): AsyncGenerator<TrainingStep, undefined> {
  const draws = makeRowDraws(what, flow, data, plan);
  const times = trainingTimes(what, plan);
  return trainingLoop(flow, plan, () => flowMatchingTask(flow, data, plan, times, draws));
}

function flowMatchingTask(
  flow: Flow,
  data: DataRows,
  plan: FlowMatchingPlan,
  times: TrainingTimes,
  draws?: RowDraws,
): TrainingTask {
  const { velocity, batchSize } = plan;
  const { table, made } = times;
  const weighted = plan.options.weighting !== undefined;
  const stratified = plan.options.time === "stratified";
  const { dim } = velocity;
  const { labels, context } = plan.options;
  const capacity = padded(batchSize);
  const backward = backwardOf(flow, velocity);
  const { rows, affine } = trainingRows(flow, data);
  const constants = Float32Array.of(...affine, ...flow.source.rows);
  const pairs: CouplingOptions | undefined = plan.coupled
    ? {
        dim,
        key: plan.key,
        source: flow.source,
        data: ownRows(data, flow.normalization),
        labels,
        labelDropout: plan.labelDropout,
        draws,
      }
    : undefined;
  const transport = { coupled: 0, independent: 0, samples: 0 };

  /** Pairs by optimal transport are drawn and matched on the host. */
  function pairedBatch(pairing: CouplingOptions, step: number, arena: Arena): Dispatch[] {
    const drawn = coupledBatch(pairing, step * batchSize, batchSize);
    transport.coupled += drawn.cost.coupled;
    transport.independent += drawn.cost.independent;
    transport.samples += batchSize;
    const { starts, ends } = drawn;
    const levels = stratified ? drawn.times.map((level, i) => stratifiedLevel(level, i, batchSize)) : drawn.times;
    const { weights, ...entries } = table ? entriesAt(table, levels) : { times: levels, weights: undefined };
    const own = drawn.labels && { labels: drawn.labels };
    const given = { starts, ends, ...entries, ...own, ...(weighted && { weights }) };
    for (const [name, values] of Object.entries(given))
      arena.session.device.queue.writeBuffer(arena.buffer(name), 0, values as Float32Array<ArrayBuffer>);
    const names = {
      starts: "starts",
      ends: "ends",
      times: "times",
      path: table && "path",
      weights: weighted ? "weights" : undefined,
    };
    const batch = { capacity, count: batchSize };
    return [
      planGivenBatch({ velocity, ...batch, names }),
      ...planConditions({ ...velocity, context: 0 }, batch, { labels: drawn.labels }),
    ];
  }

  return {
    what,
    data,
    ...(pairs && {
      figures() {
        const { coupled, independent, samples } = transport;
        Object.assign(transport, { coupled: 0, independent: 0, samples: 0 });
        return { transportCost: { coupled: coupled / samples, independent: independent / samples } };
      },
    }),
    fingerprint: () =>
      fingerprint(flow, data, plan, flowMatchingFields, what, {
        ...made,
        coupling: plan.coupled,
        labelDropout: plan.labelDropout,
        noise: draws?.noise,
      }),
    validator: (validation) =>
      flowMatchingValidator(validation, plan, (...own) => flowMatchingTask(flow, ...own, times)),
    backward,
    capacity,
    buffers: [
      ...gradientBuffers(backward, velocity, capacity),
      ...residualBuffers(velocity, capacity, weighted),
      ...(plan.coupled ? [] : [{ name: "data", bytes: rows.byteLength, data: rows }]),
      { name: "constants", bytes: constants.byteLength, data: constants },
      ...(plan.coupled
        ? [
            { name: "starts", bytes: batchSize * dim * 4 },
            { name: "ends", bytes: batchSize * dim * 4 },
            { name: "times", bytes: batchSize * 4 },
            ...(table ? [{ name: "path", bytes: batchSize * 16 }] : []),
            ...(weighted ? [{ name: "weights", bytes: batchSize * 4 }] : []),
          ]
        : []),
      ...(draws && !plan.coupled ? [{ name: rowDrawsName, bytes: draws.table.byteLength, data: draws.table }] : []),
      ...(table && !plan.coupled ? [{ name: "table", bytes: table.byteLength, data: table }] : []),
      ...(labels && plan.coupled ? [{ name: "labels", bytes: batchSize * 4 }] : []),
      ...(labels && !plan.coupled ? [{ name: "labels", bytes: labels.byteLength, data: labels }] : []),
      ...(context ? [{ name: "context", bytes: context.byteLength, data: context }] : []),
    ],
    batch: (step, arena) =>
      pairs
        ? pairedBatch(pairs, step, arena)
        : [
            planBatch({
              velocity,
              source: flow.source.kind,
              capacity,
              rows: plan.rows,
              first: step * batchSize,
              key: plan.key,
              labelDropout: plan.labelDropout,
              strata: stratified ? batchSize : undefined,
              weighted,
              names: {
                data: "data",
                constants: "constants",
                labels: labels && "labels",
                context: context && "context",
                table: table && "table",
                draws: draws && rowDrawsName,
              },
            }),
          ],
    gradient: (maxFlops) => [
      ...backward.residual({ capacity, count: batchSize, maxFlops, weighted }),
      planSum({ count: capacity, scale: 1 / (batchSize * dim), add: true, from: "squares", to: "loss" }),
    ],
  };
}
