import { objective, runFields, seed } from "../flow/fields.ts";
import type { Divergence } from "../flow/options.ts";
import { finite, flag, functionThat, integer, later, type Schema, single, word } from "../options/schema.ts";
import { singles } from "../options.ts";
import type { Path, PathName } from "../path/names.ts";
import { array, flowMatchingFields, leastDeterminant, solver, weighting } from "./fields.ts";
import type { FlowMatchingBatch, Shortcut } from "./flow-matching-options.ts";
import type { LikelihoodGradientOptions, LogProbGradientOptions, Regularization } from "./likelihood-options.ts";
import type { AnyOptimizer } from "./optimizer-options.ts";
import type { CheckpointOptions, GradientOptions, NeighbourNoise, ValidationOptions } from "./options.ts";

/*
 * The schemas of what is not checked at the call itself, but by the code that is loaded for it: a page that does not train has no need
 * of them.
 */

export const validationFields = {
  data: { check: later<ValidationOptions["data"]>, required: true },
  labels: { check: later<Uint32Array> },
  context: { check: later<Float32Array> },
  source: { check: later<NonNullable<ValidationOptions["source"]>> },
  every: { check: integer(1) },
  samples: { check: integer(1) },
  patience: { check: integer(1), fallback: Infinity },
  keepBest: { check: flag(), fallback: false },
} satisfies Schema<ValidationOptions>;

export const optimizerNames = ["adam", "adamw", "muon"] as const;

export const optimizerFields = {
  name: { check: word(...optimizerNames), required: true },
  betas: { check: later<[number, number]>, fallback: [0.9, 0.999] },
  epsilon: { check: finite(0, 1e38), fallback: 1e-8 },
  weightDecay: { check: single(0, Infinity, singles) },
  momentum: { check: finite(0, 0.999999) },
  matrixRate: { check: single(0, Infinity, singles) },
} satisfies Schema<AnyOptimizer>;

export const checkpointFields = {
  every: { check: integer(1), required: true },
  save: { check: functionThat<CheckpointOptions["save"]>("of (bytes, step)"), required: true },
} satisfies Schema<CheckpointOptions>;

export const shortcutFields = { every: { check: integer(2), fallback: 2 } } satisfies Schema<Shortcut>;

export const neighbourNoiseFields = {
  neighbour: { check: integer(1, 1024), fallback: 8 },
  factor: { check: single(0, 1e30, singles), required: true },
  floor: { check: single(0, 1e30, singles), fallback: 0.002 },
} satisfies Schema<NeighbourNoise>;

const onProgress = functionThat<NonNullable<GradientOptions["onProgress"]>>("that takes the progress");

export const gradientFields = { onProgress: { check: onProgress } } satisfies Schema<GradientOptions>;

export const likelihoodGradientFields = {
  ...gradientFields,
  solver,
  divergence: { check: later<Divergence> },
  objective: { check: objective },
  leastDeterminant: { check: leastDeterminant },
  regularization: { check: later<Regularization> },
  seed: { check: seed, fallback: 0 },
  labels: { check: later<Uint32Array> },
  context: { check: later<Float32Array> },
} satisfies Schema<LikelihoodGradientOptions>;

export const logProbGradientFields = {
  ...runFields,
  solver,
  divergence: { check: later<Divergence> },
  objective: { check: objective },
  seed: { check: seed, fallback: 0 },
  labels: { check: later<Uint32Array> },
  context: { check: later<Float32Array> },
} satisfies Schema<LogProbGradientOptions>;

/** Of a batch that is given whole. */
export const batchFields = {
  x0: { check: array<Float32Array>(), required: true },
  x1: { check: array<Float32Array>(), required: true },
  t: { check: array<Float32Array>(), required: true },
  labels: { check: later<Uint32Array> },
  context: { check: later<Float32Array> },
  path: { check: later<PathName | Path> },
  weighting: { check: weighting },
  bridge: { check: flowMatchingFields.bridge.check },
  z: { check: array<Float32Array>() },
  predict: { check: flowMatchingFields.predict.check },
} satisfies Schema<FlowMatchingBatch>;
