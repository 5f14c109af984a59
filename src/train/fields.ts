import { readable } from "../arrays.ts";
import { objective, runFields, seed } from "../flow/fields.ts";
import type { Divergence } from "../flow/options.ts";
import type { Solver } from "../ode/grid.ts";
import {
  type Check,
  type Checked,
  type Decides,
  finite,
  functionThat,
  integer,
  later,
  type Schema,
  single,
  word,
} from "../options/schema.ts";
import { checkSingle, checkWord, singles } from "../options.ts";
import type { Path, PathName } from "../path/names.ts";
import type { GivenPairs, OptimalTransport } from "./coupling-options.ts";
import type { FlowMatchingOptions, Shortcut, TimeDistribution } from "./flow-matching-options.ts";
import { largestBatch } from "./largest-batch.ts";
import type { MaximumLikelihoodOptions, Regularization } from "./likelihood-options.ts";
import type { LearningRate, Optimizer } from "./optimizer-options.ts";
import type { CheckpointOptions, TrainingOptions, ValidationOptions } from "./options.ts";

/** An array as it can be read from now on, whatever the caller does with its own; what it holds is checked with the flow. */
export const array =
  <A>(): Check<A> =>
  (name, value) =>
    readable(name, value as A);

/** A list or a record as it is now, whatever the caller does with it; what it holds is checked when the first step is asked for. */
function parts<V>(name: string, value: unknown): V {
  if (typeof value !== "object" || value === null) return value as V;
  if (Array.isArray(value)) return [...value] as V;
  return Object.fromEntries(Object.entries(value).map(([part, own]) => [part, readable(`${name}.${part}`, own)])) as V;
}

export const weighting = functionThat<(t: number) => number>("of the time");
export const regularizationFields = {
  kineticEnergy: { check: single(0, Infinity, singles), fallback: 0 },
  jacobianFrobenius: { check: single(0, Infinity, singles), fallback: 0 },
} satisfies Schema<Regularization>;

/** Of every training: what decides its bits stands in its checkpoints, and is compared where it is gone on with. */
const trainingFields = {
  steps: { check: integer(1), required: true, decides: false },
  batchSize: { check: integer(1, largestBatch), fallback: 1024, decides: true },
  accumulate: { check: integer(1), decides: true },
  learningRate: {
    check: (name, value) =>
      typeof value === "number" ? checkSingle(name, value, 0, Infinity, singles) : parts<LearningRate>(name, value),
    fallback: 1e-3,
    // it may be a function, of which the first and the last value are compared
    decides: false,
  },
  optimizer: { check: later<Optimizer>, fallback: "adam", decides: true },
  // a checkpoint has the names that come of it
  freeze: {
    check: (name, value) => parts<NonNullable<TrainingOptions["freeze"]>>(name, value),
    decides: true,
  },
  labels: { check: array<Uint32Array>(), decides: true },
  context: { check: array<Float32Array>(), decides: true },
  // none is 0, and the rest is checked when the first step is asked for
  noise: {
    check: (name, value) => (value === 0 ? undefined : readable(name, value)) as NonNullable<TrainingOptions["noise"]>,
    decides: true,
  },
  rowWeights: { check: array<Float32Array>(), decides: true },
  rowOrder: {
    check: (name, value) =>
      checkWord(name, value, ["independent", "shuffled"]) === "shuffled" ? "shuffled" : (undefined as never),
    decides: true,
  },
  // an average that never moves would keep the initial weights
  ema: { check: finite(0, 0.9999999), decides: "optimizer.ema" },
  gradientClip: { check: single(1e-30, Infinity, singles), decides: "optimizer.gradientClip" },
  seed: { check: seed, fallback: 0, decides: true },
  logEvery: { check: integer(1), fallback: 100, decides: false },
  signal: { check: runFields.signal.check, decides: false },
  // these two and `resume` are checked when the first step is asked for
  checkpoint: { check: later<CheckpointOptions>, decides: false },
  validation: {
    check: (name, value) => parts<ValidationOptions>(name, value),
    // where it decides when the training ends, or with which weights
    decides: true,
  },
  resume: { check: array<Uint8Array>(), decides: false },
  onProgress: { check: runFields.onProgress.check, decides: false },
} satisfies Schema<TrainingOptions, Decides>;

export const flowMatchingFields = {
  ...trainingFields,
  // what the functions of one's own path give is checked, and compared, where they are used
  path: { check: later<PathName | Path>, fallback: "conditional-optimal-transport", decides: true },
  coupling: {
    // a record of its own is checked when the first step is asked for
    check: (name, value) =>
      typeof value === "object" && value !== null
        ? parts<OptimalTransport | GivenPairs>(name, value)
        : checkWord(name, value, ["independent", "optimal-transport", "paired"]),
    fallback: "independent",
    decides: true,
  },
  // beside the source of the flow
  source: { check: array<NonNullable<FlowMatchingOptions["source"]>>(), decides: "source of the training" },
  // a number of f32 with some room, since its square divides and multiplies
  bridge: { check: single(1e-6, 1e6, "pass a number from 1e-6 to 1e6"), decides: true },
  predict: { check: word("velocity", "score"), decides: true },
  shortcut: { check: later<Shortcut>, decides: true },
  labelDropout: { check: finite(0, 1), decides: true },
  contextDropout: { check: finite(0, 1), decides: true },
  time: { check: (_, value) => (value === "uniform" ? undefined : value) as TimeDistribution, decides: true },
  weighting: { check: weighting, decides: true },
} satisfies Schema<FlowMatchingOptions, Decides>;

export const solver = { check: later<Solver>, fallback: { method: "midpoint", steps: 10 } } as const;

/** A step that moves nothing has the determinant 1. */
export const leastDeterminant = finite(0, 0.99);

export const likelihoodFields = {
  ...trainingFields,
  solver: { ...solver, decides: true },
  divergence: { check: later<Divergence>, decides: true },
  // it is the mode of the divergence
  objective: { check: objective, decides: true },
  leastDeterminant: { check: leastDeterminant, decides: true },
  regularization: { check: later<Regularization>, decides: true },
  jitter: { check: finite(0, 0.499), decides: true },
} satisfies Schema<MaximumLikelihoodOptions, Decides>;

export type CheckedTraining = Checked<typeof trainingFields>;
export type CheckedFlowMatching = Checked<typeof flowMatchingFields>;
export type CheckedLikelihood = Checked<typeof likelihoodFields>;
