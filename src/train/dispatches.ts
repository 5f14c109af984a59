import { batchWorkgroup } from "../../shaders/batch-workgroup.ts";
import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import { batchKernel, givenBatchKernel, residualKernel } from "../../shaders/flow-matching.ts";
import { adamKernel, reduceGradientKernel, sumKernel, sumWorkgroup } from "../../shaders/optimizer.ts";
import type { SourceKind } from "../../shaders/particles.ts";
import { drawNumbers } from "../../shaders/random.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { planConditionRows } from "../kernels/stages.ts";
import type { Conditions } from "../ode/engine.ts";
import { streams } from "../random/philox.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { Batch } from "./backward.ts";

/** Draws a batch whose first sample has the number `first` since the start of training. */
export function planBatch(o: {
  velocity: TrainableVelocity;
  source: SourceKind;
  capacity: number;
  rows: number;
  first: number;
  key: readonly [number, number];
  labelDropout: number;
  names: {
    data: string;
    constants: string;
    labels?: string | undefined;
    context?: string | undefined;
    /** Coefficients of a path other than the straight one. */
    table?: string | undefined;
  };
}): Dispatch {
  const { source, capacity, rows, labelDropout } = o;
  const { dim, classes, context } = o.velocity;
  const { names } = o;
  const has = { labels: names.labels !== undefined, context: names.context !== undefined };
  return dispatchOf(batchKernel({ source, ...has, table: names.table !== undefined }), {
    params: {
      ...{ capacity, dim, rows, row: dim + 1, classes, context, dropout: labelDropout },
      ...drawNumbers(o.first, o.key),
      stream_index: streams.batchIndex,
      stream_time: streams.batchTime,
      stream_source: streams.batchSource,
      stream_dropout: streams.labelDropout,
    },
    buffers: {
      ...{ data: names.data, constants: names.constants, inputs: "h0", targets: "target" },
      ...{ labels: names.labels, context: names.context, path_table: names.table },
    },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * (60 * dim + 100 + classes + context),
  });
}

/** Input rows and targets from given x_0, x_1 and t. */
export function planGivenBatch(o: {
  velocity: TrainableVelocity;
  capacity: number;
  count: number;
  names: { starts: string; ends: string; times: string; path?: string | undefined };
}): Dispatch {
  const { starts, ends, times, path } = o.names;
  const { capacity, count } = o;
  const { dim } = o.velocity;
  return dispatchOf(givenBatchKernel({ path: path !== undefined }), {
    params: { capacity, dim, count },
    buffers: { starts, ends, times, inputs: "h0", targets: "target", coefficients: path },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * 6 * dim,
  });
}

/** Rows for the class and the context of each sample in "h0", behind state and time, where the network has any. */
export function planConditions(
  { dim, classes, context }: Pick<TrainableVelocity, "dim" | "classes" | "context">,
  { capacity, count }: Pick<Batch, "capacity" | "count">,
  given: Omit<Conditions, "guidance">,
): Dispatch[] {
  if (classes + context === 0) return [];
  const labels = given.labels && "labels";
  const contextRows = given.context && "context";
  const row = dim + 1;
  return [planConditionRows({ capacity, count, row, classes, context, input: "h0", labels, contextRows })];
}

/** Residuals of "u" against "target" into "ubar" and "squares". */
export function planResidual(o: { dim: number; capacity: number; count: number }): Dispatch {
  const { dim, capacity, count } = o;
  return dispatchOf(residualKernel({}), {
    params: { capacity, dim, count, scale: 2 / (count * dim) },
    buffers: { velocity: "u", targets: "target", cotangent: "ubar", squares: "squares" },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * 4 * dim,
  });
}

/** to[0] = (or +=) scale · Σ of `count` values from `offset` (default 0) on. */
export function planSum(o: {
  count: number;
  offset?: number;
  scale: number;
  add: boolean;
  from: string;
  to: string;
}): Dispatch {
  const { count, offset = 0, scale, add, from, to } = o;
  return dispatchOf(sumKernel({ add }), {
    params: { count, scale, offset },
    buffers: { values: from, total: to },
    workgroups: [1],
    flops: count,
  });
}

/** "partials" → "gradient"; with `norm` also "norm.parts", one per workgroup. */
export function planReduceGradient(o: { count: number; segments: number; norm: boolean }): Dispatch {
  const { count, segments, norm } = o;
  return dispatchOf(reduceGradientKernel({ norm }), {
    params: { count, segments },
    buffers: { partials: "partials", gradient: "gradient", squares: norm ? "norm.parts" : undefined },
    workgroups: gridOf(Math.ceil(count / sumWorkgroup)),
    flops: count * segments,
  });
}

/** Workgroups of the gradient's reduction, each of which leaves a part of ‖g‖². */
export function normParts(count: number): number {
  return Math.ceil(count / sumWorkgroup);
}

export interface AdamSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly ema: number | undefined;
  readonly gradientClip: number | undefined;
}

/** One Adam step, `step` counted from 1. */
export function planAdam(o: { count: number; step: number; learningRate: number; settings: AdamSettings }): Dispatch {
  const { count, step, learningRate } = o;
  const { beta1, beta2, epsilon, weightDecay, ema, gradientClip } = o.settings;
  const has = { clip: gradientClip !== undefined, ema: ema !== undefined };
  // early averages warm up, so that a short run is not stuck at its initial weights
  const decay = Math.min(ema ?? 0, (1 + step) / (10 + step));
  return dispatchOf(adamKernel(has), {
    params: {
      ...{ count, learning_rate: learningRate, epsilon, decay: weightDecay, clip: gradientClip ?? 0 },
      ...{ beta1, rest1: 1 - beta1, correction1: 1 / (1 - beta1 ** step) },
      ...{ beta2, rest2: 1 - beta2, correction2: 1 / (1 - beta2 ** step) },
      ...{ ema: decay, rest: 1 - decay },
    },
    buffers: {
      ...{ gradient: "gradient", parameters: "parameters", first_moment: "adam.m", second_moment: "adam.v" },
      norm: has.clip ? "norm" : undefined,
      average: has.ema ? "average" : undefined,
    },
    workgroups: gridOf(Math.ceil(count / sumWorkgroup)),
    flops: count * 16,
  });
}
