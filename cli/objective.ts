import type { Flow, FlowMatchingOptions, MaximumLikelihoodOptions, TrainingOptions } from "pushforward";
import type { Given } from "./conditions.ts";
import type { TrainOptions } from "./training-options.ts";

/** Rows with what belongs to each. */
export interface Rows {
  readonly data: Float64Array;
  readonly given: Given;
  readonly rowWeights?: Float32Array;
  /** Where each row starts, with --coupling paired. */
  readonly source?: Float64Array;
}

/** The steps of the training that the options of `train` say. */
export async function trainingOf(
  flow: Flow,
  rows: Rows,
  held: Rows | undefined,
  o: TrainOptions,
  more: Pick<TrainingOptions, "checkpoint" | "resume" | "signal"> & { logEvery: number },
) {
  const { trainFlowMatching, trainMaximumLikelihood } = await import("pushforward");
  const common = { ...trainingOptions(flow, rows, held, o, more), ...more };
  if (o.objective === "flow-matching") return trainFlowMatching(flow, rows.data, { ...common, ...matching(o, rows) });
  return trainMaximumLikelihood(flow, rows.data, { ...common, ...likelihood(o) });
}

/** The record without what is not set. */
function set<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

function trainingOptions(
  flow: Flow,
  { given, rowWeights }: Rows,
  held: Rows | undefined,
  o: TrainOptions,
  { logEvery }: { logEvery: number },
): TrainingOptions {
  const { optimizer: name, betas, epsilon, weightDecay, momentum, matrixRate } = o;
  const validation = held && {
    ...set({ patience: o.patience, keepBest: o.keepBest }),
    data: held.data,
    every: o.validateEvery ?? 10 * logEvery,
    samples: Math.min(4096, held.data.length / flow.dim),
    ...(held.source && { source: held.source }),
    ...held.given,
  };
  const optimizer = { name, ...set({ betas, epsilon, weightDecay, momentum, matrixRate }) };
  return {
    steps: o.steps,
    batchSize: o.batchSize,
    learningRate: {
      peak: o.learningRate,
      schedule: o.schedule,
      warmup: Math.round(o.warmup * o.steps),
      ...set({ final: o.finalRate }),
    },
    optimizer: optimizer as NonNullable<TrainingOptions["optimizer"]>,
    ...given,
    ...set({
      rowWeights,
      rowOrder: o.rowOrder,
      accumulate: o.accumulate,
      freeze: o.freeze,
      noise: o.noise,
      ema: o.ema > 0 ? o.ema : undefined,
      gradientClip: o.gradientClip,
      validation,
    }),
    seed: o.seed,
  };
}

function matching(o: TrainOptions, { source }: Rows): Omit<FlowMatchingOptions, keyof TrainingOptions> {
  const { group, reuse, pool, contextWeight } = o;
  const details = set({ group, reuse, pool, contextWeight });
  const coupling =
    o.coupling === "independent" || o.coupling === "paired"
      ? o.coupling
      : { method: o.coupling === "sinkhorn" ? ("sinkhorn" as const) : ("exact" as const), ...details };
  const { path, timeDistribution: time, bridge, predict, labelDropout, contextDropout } = o;
  const shortcut = o.shortcut === undefined ? undefined : { every: o.shortcut };
  return { coupling, ...set({ source, path, time, bridge, predict, shortcut, labelDropout, contextDropout }) };
}

function likelihood(o: TrainOptions): Omit<MaximumLikelihoodOptions, keyof TrainingOptions> {
  const { solverMethod: method = "midpoint", solverSteps: steps = 10, warp, jitter, leastDeterminant } = o;
  const { kineticEnergy, jacobianFrobenius } = o;
  const regularization = kineticEnergy || jacobianFrobenius ? set({ kineticEnergy, jacobianFrobenius }) : undefined;
  const divergence = o.probes === undefined ? undefined : { probe: "rademacher" as const, probes: o.probes };
  return {
    solver: { method, steps, ...set({ warp }) },
    objective: o.objective === "discrete-likelihood" ? "discrete" : "continuous",
    ...set({ jitter, leastDeterminant, divergence, regularization }),
  };
}
