import { batchWorkgroup } from "../../shaders/batch-workgroup.ts";
import { batchKernel, givenBatchKernel, residualKernel } from "../../shaders/flow-matching.ts";
import { adamKernel, reduceGradientKernel, sumKernel, sumWorkgroup } from "../../shaders/optimizer.ts";
import type { SourceKind } from "../../shaders/particles.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, packParams, u32 } from "../gpu/kernel.ts";
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
  const { velocity, names } = o;
  const labels = names.labels !== undefined;
  return {
    kernel: batchKernel({
      source: o.source,
      labels,
      context: names.context !== undefined,
      table: names.table !== undefined,
    }),
    buffers: [names.data, names.constants, "h0", "target", names.labels, names.context, names.table].filter(
      (name) => name !== undefined,
    ),
    params: packParams([
      u32(o.capacity),
      u32(velocity.dim),
      u32(o.rows),
      u32(o.first % 2 ** 32),
      u32(Math.floor(o.first / 2 ** 32)),
      u32(o.key[0]),
      u32(o.key[1]),
      u32(streams.batchIndex),
      u32(streams.batchTime),
      u32(streams.batchSource),
      u32(streams.labelDropout),
      u32(velocity.dim + 1),
      u32(velocity.classes),
      u32(velocity.context),
      f32(o.labelDropout),
    ]),
    workgroups: [Math.ceil(o.capacity / batchWorkgroup)],
    flops: o.capacity * (60 * velocity.dim + 100 + velocity.classes + velocity.context),
  };
}

/** Input rows and targets from given x_0, x_1 and t. */
export function planGivenBatch(o: {
  velocity: TrainableVelocity;
  capacity: number;
  count: number;
  names: { starts: string; ends: string; times: string; path?: string | undefined };
}): Dispatch {
  const { starts, ends, times, path } = o.names;
  return {
    kernel: givenBatchKernel({ path: path !== undefined }),
    buffers: [starts, ends, times, "h0", "target", ...(path ? [path] : [])],
    params: packParams([u32(o.capacity), u32(o.velocity.dim), u32(o.count)]),
    workgroups: [Math.ceil(o.capacity / batchWorkgroup)],
    flops: o.capacity * 6 * o.velocity.dim,
  };
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
  return {
    kernel: residualKernel({}),
    buffers: ["u", "target", "ubar", "squares"],
    params: packParams([u32(o.capacity), u32(o.dim), u32(o.count), f32(2 / (o.count * o.dim))]),
    workgroups: [Math.ceil(o.capacity / batchWorkgroup)],
    flops: o.capacity * 4 * o.dim,
  };
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
  return {
    kernel: sumKernel({ add: o.add }),
    buffers: [o.from, o.to],
    params: packParams([u32(o.count), f32(o.scale), u32(o.offset ?? 0)]),
    workgroups: [1],
    flops: o.count,
  };
}

/** "partials" → "gradient"; with `norm` also "norm.parts", one per workgroup. */
export function planReduceGradient(o: { count: number; segments: number; norm: boolean }): Dispatch {
  return {
    kernel: reduceGradientKernel({ norm: o.norm }),
    buffers: o.norm ? ["partials", "gradient", "norm.parts"] : ["partials", "gradient"],
    params: packParams([u32(o.count), u32(o.segments)]),
    workgroups: gridOf(Math.ceil(o.count / sumWorkgroup)),
    flops: o.count * o.segments,
  };
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
  const { settings } = o;
  const clip = settings.gradientClip !== undefined;
  const ema = settings.ema !== undefined;
  // early averages warm up, so that a short run is not stuck at its initial weights
  const decay = Math.min(settings.ema ?? 0, (1 + o.step) / (10 + o.step));
  return {
    kernel: adamKernel({ clip, ema }),
    buffers: ["gradient", "parameters", "adam.m", "adam.v", ...(clip ? ["norm"] : []), ...(ema ? ["average"] : [])],
    params: packParams([
      u32(o.count),
      f32(o.learningRate),
      f32(settings.beta1),
      f32(settings.beta2),
      f32(1 - settings.beta1),
      f32(1 - settings.beta2),
      f32(1 / (1 - settings.beta1 ** o.step)),
      f32(1 / (1 - settings.beta2 ** o.step)),
      f32(settings.epsilon),
      f32(settings.weightDecay),
      f32(decay),
      f32(1 - decay),
      f32(settings.gradientClip ?? 0),
    ]),
    workgroups: gridOf(Math.ceil(o.count / sumWorkgroup)),
    flops: o.count * 16,
  };
}
