import { figuresPerGroup } from "../../shaders/sinkhorn.ts";
import { rowsInFlow } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { type SourceSpec, samplesSpec } from "../flow/source.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { groupBuffers, planGroup, pointWidth } from "../kernels/sinkhorn.ts";
import { item, must } from "../must.ts";
import type { Pacer } from "../schedule/pacer.ts";
import { unlessAborted } from "../schedule/unless.ts";
import { defaultThreads, Matching } from "../transport/matching.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { type CouplingPlan, couplingPlan, type ExactPlan, regularizationRange, type SinkhornPlan } from "./coupling.ts";
import type { OptimalTransport } from "./coupling-options.ts";
import { ExactPairs, type PairGroup } from "./exact-pairs.ts";
import { PairSchedule } from "./pair-schedule.ts";
import type { FlowMatchingPlan } from "./plan.ts";
import { readTogether } from "./resuming.ts";
import { type RowDraws, rowDrawsBuffer, rowDrawsName } from "./row-draws.ts";
import { type BroughtSource, placeStarts } from "./source-batches.ts";
import { constantsOf, momentsOf, sourceMoments } from "./starts.ts";
import type { TrainingStep } from "./task.ts";

/** Makes the pairs of a training, on one device after the other. */
export interface Pairing {
  readonly coupled: CouplingPlan;
  /** @param repeated steps that are taken again and again, from the same draws */
  pairs(
    flow: Flow,
    data: DataRows,
    plan: FlowMatchingPlan,
    draws: RowDraws | undefined,
    repeated?: number,
  ): CoupledPairs;
  /** Ends the threads. */
  close(): void;
}

/** Checks the option `coupling`, which is not independent. */
export function openPairing(
  what: string,
  coupling: "optimal-transport" | OptimalTransport,
  velocity: TrainableVelocity,
  bridge?: number,
  /** Where x_0 is made as it is needed. */
  brought?: BroughtSource,
): Pairing {
  const coupled = couplingPlan(what, coupling, velocity, bridge);
  const matching = new Matching(coupled.method === "exact" ? (coupled.threads ?? defaultThreads()) : 0);
  return {
    coupled,
    pairs(...of) {
      const origin = originOf(what, coupled, brought, ...of);
      return coupled.method === "exact" ? exactPairs(origin, coupled, matching) : sinkhornPairs(origin, coupled);
    },
    close: () => matching.close(),
  };
}

/** The pairs of a training on one device, of which the buffer "pairs" has the rows. */
interface CoupledPairs {
  readonly schedule: PairSchedule;
  readonly buffers: readonly PlannedBuffer[];
  /** What the buffer "constants" has beside: factors of the columns of the context. */
  readonly constants: readonly number[];
  /** Makes ready what a step draws from. */
  bring(step: number, arena: Arena, maxFlops: number): Promise<Dispatch[]>;
  figures(step: number, arena: Arena, pacer: Pacer): Promise<Pick<TrainingStep, "transportCost">>;
}

/** What groups of pairs are made of: data in the flow's own space, and how contexts count. */
interface Origin {
  readonly plan: FlowMatchingPlan;
  readonly rows: Float32Array;
  readonly draws: RowDraws | undefined;
  readonly factors: readonly number[];
  readonly schedule: PairSchedule;
  /** Groups of the whole training. */
  readonly total: number;
  /** x_0 by the numbers of the samples, in place of draws. */
  readonly starts: ((first: number, count: number) => Promise<Float32Array>) | undefined;
  /** Some rows that it gives. */
  readonly begin: Float32Array | undefined;
}

function originOf(
  what: string,
  coupled: CouplingPlan,
  brought: BroughtSource | undefined,
  flow: Flow,
  data: DataRows,
  plan: FlowMatchingPlan,
  draws: RowDraws | undefined,
  repeated?: number,
): Origin {
  const { context } = plan.options;
  const schedule = new PairSchedule(coupled, plan.batchSize, repeated);
  const { contextWeight } = coupled;
  return {
    plan,
    rows: rowsInFlow(what, "data", data, flow),
    draws,
    factors:
      context && contextWeight !== undefined ? contextFactors(context, plan.velocity.context, contextWeight) : [],
    schedule,
    total: schedule.groups((repeated ?? plan.steps) - 1).end,
    starts: brought && ((first, count) => brought.rows(first, count, repeated !== undefined)),
    begin: brought?.begin,
  };
}

/** The rows of pairs, slot by slot, and behind them the table of row draws, for the noise. */
function pairsBuffer(slots: number, group: number, draws: RowDraws | undefined): PlannedBuffer {
  const rows = slots * group;
  if (!draws) return { name: "pairs", bytes: rows * 4 };
  const data = new Uint32Array(rows + draws.table.length);
  data.set(draws.table, rows);
  return { name: "pairs", bytes: data.byteLength, data };
}

/** Which groups lie in the slots of "pairs"; gives those that a step needs and that are not there, as if they were from now on. */
function ring(schedule: PairSchedule): (step: number) => number[] {
  const held = new Map<number, number>();
  return (step) => {
    const missing: number[] = [];
    const { first, end } = schedule.groups(step);
    for (let group = first; group < end; group++) {
      if (held.get(group % schedule.slots) !== group) missing.push(group);
      held.set(group % schedule.slots, group);
    }
    return missing;
  };
}

/** Pairs that the host makes. */
function exactPairs(
  { plan, rows, draws, factors, schedule, total, starts }: Origin,
  { group }: ExactPlan,
  matching: Matching,
) {
  const { key, velocity, options } = plan;
  const { labels, context, rowOrder, signal } = options;
  const from = {
    dim: velocity.dim,
    key,
    starts: starts ?? plan.source,
    data: rows,
    draws,
    shuffled: rowOrder === "shuffled",
    labels: labels?.slice(),
    context: factors.length > 0 ? context?.map((value, i) => value * item(factors, i % factors.length)) : undefined,
  };
  const pairs = new ExactPairs(from, group, matching, total);
  const missing = ring(schedule);
  const costs = new Map<number, Pick<PairGroup, "coupled" | "independent">>();
  return {
    schedule,
    buffers: [pairsBuffer(schedule.slots, group, draws)],
    constants: [],
    async bring(step: number, arena: Arena) {
      const { first } = schedule.groups(step);
      pairs.forget(first);
      for (const number of missing(step)) {
        const made = await unlessAborted(signal, pairs.group(number));
        const at = number % schedule.slots;
        const { queue } = arena.session.device;
        queue.writeBuffer(arena.buffer("pairs"), at * group * 4, made.rows as Uint32Array<ArrayBuffer>);
        if (starts) placeStarts(arena, plan.rows, velocity.dim, at * group, made.starts);
        costs.set(at, made);
      }
      return [];
    },
    async figures(step: number) {
      const slots = slotsOf(schedule, step).map((slot) => must(costs.get(slot), "the cost of a group"));
      return {
        transportCost: {
          coupled: meanOf(slots.map(({ coupled }) => coupled)),
          independent: meanOf(slots.map(({ independent }) => independent)),
        },
      };
    },
  };
}

/** Pairs that the device makes. */
function sinkhornPairs(
  { plan, rows, draws, factors, schedule, starts, begin }: Origin,
  coupled: SinkhornPlan,
): CoupledPairs {
  const { velocity, key, options } = plan;
  const { group, iterations, contextWeight } = coupled;
  const { slots } = schedule;
  const names = {
    labels: options.labels && "labels",
    context: factors.length > 0 ? "context" : undefined,
    draws: draws && rowDrawsName,
  };
  const missing = ring(schedule);
  const weighed = contextWeight === undefined ? 0 : 2 * contextWeight * factors.filter((factor) => factor > 0).length;
  const known = begin ? samplesSpec(begin, velocity.dim) : plan.source;
  const meanCost = meanSquare(rows, known, velocity.dim) + weighed;
  const regularization = coupled.regularization ?? ofBridge(must(options.bridge, "bridge"), meanCost);
  return {
    schedule,
    constants: factors,
    buffers: [
      pairsBuffer(slots, group, draws),
      ...(draws ? [rowDrawsBuffer(draws)] : []),
      { name: "figures", bytes: slots * figuresPerGroup * 4 },
      ...groupBuffers(pointWidth({ velocity, names }), group),
    ],
    async bring(step, arena, maxFlops) {
      const groups = missing(step);
      if (starts)
        for (const number of groups) {
          const made = await starts(number * group, group);
          placeStarts(arena, plan.rows, velocity.dim, (number % slots) * group, made);
        }
      return groups.flatMap((number) =>
        planGroup({
          ...{ velocity, key, names, meanCost, regularization, iterations, maxFlops },
          source: known,
          placed: starts !== undefined,
          count: group,
          rows: plan.rows,
          shuffled: options.rowOrder === "shuffled",
          first: number * group,
          pairsAt: (number % slots) * group,
          figuresAt: (number % slots) * figuresPerGroup,
          factorsAt: 3 * velocity.dim + constantsOf(plan.source).length,
        }),
      );
    },
    async figures(step, arena, pacer) {
      const bytes = slots * figuresPerGroup * 4;
      const [figures] = await readTogether("trainFlowMatching", arena, pacer, [{ name: "figures", bytes }]);
      const mean = (part: number) =>
        meanOf(slotsOf(schedule, step).map((slot) => item(must(figures, "figures"), slot * figuresPerGroup + part)));
      return { transportCost: { coupled: mean(0), independent: mean(1), marginalError: mean(2) } };
    },
  };
}

/** ε in mean costs: that of a Schrödinger bridge is 2σ² (Tong et al. 2024b, §3). */
function ofBridge(bridge: number, meanCost: number): number {
  const [least, most] = regularizationRange;
  const own = (2 * bridge ** 2) / meanCost;
  if (own >= least && own <= most) return own;
  throw invalid(
    `trainFlowMatching: the pairs of a bridge of ${bridge} have the regularization 2·bridge², which is ${own} of the mean cost ${meanCost}, but it is from ${least} to ${most} of that: pass another bridge, coupling.regularization, or coupling: { method: "exact" }`,
  );
}

/** The slots of the groups that a step draws from. */
function slotsOf(schedule: PairSchedule, step: number): number[] {
  const { first, end } = schedule.groups(step);
  return Array.from({ length: end - first }, (_, k) => (first + k) % schedule.slots);
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Factors by which the squared distance of contexts counts `weight` times that of states: each column over its standard deviation. */
export function contextFactors(context: Float32Array, width: number, weight: number): number[] {
  return Array.from({ length: width }, (_, k) => {
    const { variance } = momentsOf(context, width, k);
    // a column that is the same everywhere keeps no rows apart
    return variance > 0 ? Math.sqrt(weight / variance) : 0;
  });
}

/** The mean of |x_1 − x_0|² over independent pairs of rows of the data and of the source. */
function meanSquare(data: Float32Array, source: SourceSpec, dim: number): number {
  let sum = 0;
  for (let k = 0; k < dim; k++) {
    const [end, start] = [momentsOf(data, dim, k), sourceMoments(source, dim, k)];
    sum += end.variance + start.variance + (end.mean - start.mean) ** 2;
  }
  return sum;
}
