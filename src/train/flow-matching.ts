import { planBatch } from "../../shaders/flow-matching.ts";
import { planSum } from "../../shaders/optimizer.ts";
import { circularAxes } from "../data/transform.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { samplesSpec } from "../flow/source.ts";
import { turn } from "../network/circle.ts";
import { padded } from "../ode/engine.ts";
import type { MatchingBackward } from "./backward.ts";
import { type MatchingChoice, matchingChoice, residualBackward } from "./backward-of.ts";
import { gradientBuffers, residualBuffers } from "./buffers.ts";
import type { Pairing } from "./coupled-pairs.ts";
import { flowMatchingFields } from "./fields.ts";
import { fingerprint } from "./fingerprint.ts";
import { type GivenPlan, givenPlan, heldOutSource, isGiven } from "./given-pairs.ts";
import { givenConditions, withLengths } from "./lengths.ts";
import { trainingLoop, trainingRows } from "./loop.ts";
import type { FlowMatchingPlan } from "./plan.ts";
import { checkResolved } from "./resolved.ts";
import { makeRowDraws, type RowDraws, rowDrawsBuffer, rowDrawsName } from "./row-draws.ts";
import { shortcutPlan, shortcutsOf } from "./shortcut.ts";
import { type BroughtSource, placeStarts, withSource } from "./source-batches.ts";
import { constantsOf, withStarts } from "./starts.ts";
import { planOfPart } from "./stepping.ts";
import type { TrainingStep, TrainingTask } from "./task.ts";
import { type TrainingTimes, trainingTimes, weightingOf } from "./times.ts";
import { flowMatchingValidator } from "./validation.ts";

const what = "trainFlowMatching";

/** The steps of a training run whose options have been checked. */
export async function* runFlowMatching(
  flow: Flow,
  data: DataRows,
  checked: FlowMatchingPlan,
): AsyncGenerator<TrainingStep, undefined> {
  checkResolved(what, "data", flow, data);
  const { brought, ...sourced } = await withSource(what, flow, checked);
  const plan = withLengthsOf(sourced);
  const shortcut = shortcutPlan(what, plan);
  const { context } = givenConditions(plan.velocity, shortcut);
  if (plan.options.contextDropout !== undefined && context === 0)
    throw invalid(`${what}: contextDropout was given, but this network has no context to drop: leave it out`);
  const draws = makeRowDraws(what, flow, data, plan);
  const choice = await matchingChoice(flow);
  const times = trainingTimes(what, plan);
  const { coupling } = plan.options;
  // what makes pairs is loaded when there are some to make
  const given = isGiven(coupling) ? givenPlan(what, coupling, plan) : undefined;
  const pairing =
    coupling === "independent" || isGiven(coupling)
      ? undefined
      : (await import("./coupled-pairs.ts")).openPairing(
          what,
          coupling,
          { ...plan.velocity, context },
          plan.options.bridge,
          brought,
        );
  try {
    return yield* trainingLoop(flow, plan, (parts) =>
      flowMatchingTask(flow, data, planOfPart(what, plan, parts), choice, {
        ...{ times, draws, pairing, given, shortcut, brought },
      }),
    );
  } finally {
    pairing?.close();
  }
}

/** The plan with a column of context for the lengths of shortcuts. */
function withLengthsOf(plan: FlowMatchingPlan): FlowMatchingPlan {
  const { options, rows, velocity } = plan;
  if (options.shortcut === undefined) return plan;
  return { ...plan, options: { ...options, context: withLengths(options.context, rows, velocity.context) } };
}

/** What batches are drawn by. */
interface Drawing {
  readonly times: TrainingTimes;
  readonly draws?: RowDraws | undefined;
  readonly pairing: Pairing | undefined;
  readonly given: GivenPlan | undefined;
  /** Not of validation data. */
  readonly shortcut?: { readonly every: number } | undefined;
  readonly brought: BroughtSource | undefined;
}

function flowMatchingTask(
  flow: Flow,
  data: DataRows,
  plan: FlowMatchingPlan,
  choice: MatchingChoice,
  { times, draws, pairing, given, shortcut, brought }: Drawing,
  /** Steps that are taken again and again, from the same draws. */
  repeated?: number,
): TrainingTask<MatchingBackward> {
  const { velocity, batchSize } = plan;
  const { table, made } = times;
  const weighted = weightingOf(plan.options) !== undefined;
  const stratified = plan.options.time === "stratified";
  const { contextDropout = 0 } = plan.options;
  const { labels, context } = plan.options;
  const capacity = padded(batchSize);
  // shortcuts ask for the network's own velocities, which layers tell and tiles do not
  const layers = shortcut && residualBackward(flow, velocity);
  const backward = layers ?? choice(velocity);
  const { rows, affine } = trainingRows(what, "data", flow, data);
  const pairs = pairing?.pairs(flow, data, plan, draws, repeated);
  const shortcuts = layers && shortcutsOf(shortcut, plan, layers);
  const places = pairs ? pairs.schedule.slots * pairs.schedule.group : batchSize;
  const source = brought ? samplesSpec(new Float32Array(places * flow.dim), flow.dim) : plan.source;
  const all = withStarts(rows, source, given?.steps);
  const numbers = [...affine, ...constantsOf(source)];
  const circular = circularAxes(flow.transform);
  const turns =
    circular.length > 0 ? Array.from({ length: flow.dim }, (_, k) => (circular.includes(k) ? turn : 0)) : [];
  const constants = Float32Array.of(...numbers, ...turns, ...(pairs ? pairs.constants : []));
  return {
    what,
    data,
    ...(pairs && { figures: pairs.figures }),
    fingerprint: async () =>
      fingerprint(flow, data, plan, flowMatchingFields, what, {
        ...made,
        ...(brought && { source: await brought.made() }),
        // whoever makes the pairs, they are the same
        coupling: given ? given.made : pairing && { ...pairing.coupled, threads: undefined },
        labelDropout: plan.labelDropout,
        noise: draws?.noise,
        shortcut,
      }),
    validator: (validation) =>
      flowMatchingValidator(
        validation,
        given ? { ...plan, source: heldOutSource(what, flow, validation, given) } : plan,
        (heldOut, own, batches) =>
          flowMatchingTask(flow, heldOut, own, choice, { times, pairing, given, brought }, batches),
      ),
    backward,
    capacity,
    isDrawn: !pairs && !brought && !shortcuts,
    buffers: [
      ...gradientBuffers(backward, velocity, capacity),
      ...residualBuffers(velocity, capacity, weighted),
      { name: "data", bytes: all.byteLength, data: all },
      { name: "constants", bytes: constants.byteLength, data: constants },
      // where there are pairs, they bring what their kernels read of it
      ...(draws && !pairs ? [rowDrawsBuffer(draws)] : []),
      ...(table ? [{ name: "table", bytes: table.byteLength, data: table }] : []),
      ...(labels ? [{ name: "labels", bytes: labels.byteLength, data: labels }] : []),
      ...(context ? [{ name: "context", bytes: context.byteLength, data: context }] : []),
      ...(pairs?.buffers ?? []),
      ...(shortcuts?.buffers ?? []),
    ],
    async batch(step, arena, maxFlops) {
      const made = pairs ? await pairs.bring(step, arena, maxFlops) : [];
      if (brought && !pairs) {
        const starts = await brought.rows(step * batchSize, batchSize, repeated !== undefined);
        placeStarts(arena, plan.rows, flow.dim, 0, starts);
      }
      return [
        ...made,
        planBatch({
          velocity,
          source,
          placed: brought !== undefined,
          capacity,
          rows: plan.rows,
          shuffled: plan.options.rowOrder === "shuffled",
          first: step * batchSize,
          key: plan.key,
          labelDropout: plan.labelDropout,
          contextDropout,
          strata: stratified ? batchSize : undefined,
          weighted,
          bridge: plan.options.bridge !== undefined,
          turns: circular.length > 0 ? numbers.length : undefined,
          names: {
            data: "data",
            constants: "constants",
            labels: labels && "labels",
            context: context && "context",
            table: table && "table",
            draws: draws && rowDrawsName,
          },
          pairs: pairs && { rows: "pairs", ...pairs.schedule.pairs(step) },
          given: given && { ofSteps: given.steps !== undefined },
        }),
        ...(shortcuts?.dispatches(step * batchSize, maxFlops) ?? []),
      ];
    },
    gradient: (maxFlops) => [
      ...backward.residual({ capacity, count: batchSize, maxFlops, weighted }),
      planSum({ count: capacity, scale: 1 / (batchSize * velocity.dim), add: true, from: "squares", to: "loss" }),
    ],
  };
}
