import type { DivergenceText, FusedField } from "../../shaders/field.ts";
import type { EvaluateOutput, EvaluateShape, IntegrateShape } from "../../shaders/integrate.ts";
import type { Kernel } from "../../shaders/kernel.ts";
import { conditionKernel, particleWorkgroup } from "../../shaders/particles.ts";
import { particlesPerSlot, slotsPerWorkgroup, type Tiling } from "../../shaders/tiling.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, packParams, u32 } from "../gpu/kernel.ts";

/** A family of integrators: a kernel from its shape. */
export type Integrator = (shape: IntegrateShape) => Kernel;
export type Evaluator = (shape: EvaluateShape) => Kernel;

/** Guidance: (1 − w) u_null + w u_label; one branch when nothing is mixed. */
export interface Branches {
  /** Whether the first branch is of the null class. */
  readonly nullFirst: boolean;
  readonly count: 1 | 2;
  readonly weightNull: number;
  readonly weightLabel: number;
}

export const oneBranch: Branches = { count: 1, weightNull: 0, weightLabel: 1, nullFirst: true };

interface Slice {
  readonly capacity: number;
  readonly maxFlops: number;
  readonly tiling: Tiling;
  readonly probes: number;
  readonly branches: Branches;
  /** What a network's table is for: the first stage of all steps, and its columns. */
  readonly table?: { readonly firstRow: number; readonly columns: number } | undefined;
}

function fusedParams(slice: Slice, first: number, slots: number, firstStep: number, lastStep: number): Uint8Array {
  const { branches } = slice;
  return packParams([
    u32(first),
    u32(slots),
    u32(slice.capacity / slice.tiling.lanes),
    u32(firstStep),
    u32(lastStep),
    u32(slice.probes),
    u32(branches.count),
    f32(branches.weightNull),
    f32(branches.weightLabel),
    u32(branches.nullFirst ? 1 : 0),
    u32(slice.table?.firstRow ?? 0),
    u32(slice.table?.columns ?? 0),
    u32(0),
  ]);
}

/** Ranges of slots (groups of particles that share an index), each within `maxFlops` where `flops` is the work of one slot. */
function* slotRanges({ capacity, maxFlops, tiling }: Slice, flops: number): Generator<[first: number, slots: number]> {
  const slots = capacity / particlesPerSlot(tiling);
  const whole = slotsPerWorkgroup(tiling);
  // never so few that a device would idle
  const most = Math.max(4 * tiling.workgroupSize, Math.floor(maxFlops / flops / whole) * whole);
  for (let first = 0; first < slots; first += most) yield [first, Math.min(most, slots - first)];
}

/** Dispatches that take steps `firstStep` … `lastStep` − 1 for all particles of a chunk. */
export function planIntegrate(
  o: Slice & {
    field: FusedField;
    integrator: Integrator;
    stages: number;
    freeStages: boolean;
    divergence: DivergenceText;
    firstStep: number;
    lastStep: number;
    flopsPerStep: number;
    names: {
      weights?: string | undefined;
      offsets?: string | undefined;
      labels?: string | undefined;
      context?: string | undefined;
      table?: string | undefined;
      schedule: string;
      state: string;
      integral?: string | undefined;
      probes?: string | undefined;
      kept?: string | undefined;
    };
  },
): Dispatch[] {
  const { field, tiling, stages, divergence, freeStages, names } = o;
  const kept = names.kept === undefined ? {} : ({ keeps: true } as const);
  const kernel = o.integrator({ field, tiling, stages, divergence, freeStages, ...kept });
  const tracks = o.divergence.mode !== "none";
  const buffers = [
    names.weights,
    names.offsets,
    names.labels,
    names.context,
    names.table,
    names.schedule,
    names.state,
    tracks ? names.integral : undefined,
    o.divergence.mode === "probes" ? names.probes : undefined,
    names.kept,
  ];
  const slotFlops = o.flopsPerStep * particlesPerSlot(tiling);
  const dispatches: Dispatch[] = [];
  for (const [first, slots] of slotRanges(o, slotFlops)) {
    const stepsAtOnce = Math.max(1, Math.floor(o.maxFlops / (slots * slotFlops)));
    for (let step = o.firstStep; step < o.lastStep; step += stepsAtOnce) {
      const end = Math.min(o.lastStep, step + stepsAtOnce);
      dispatches.push({
        kernel,
        buffers: buffers.filter((name) => name !== undefined),
        params: fusedParams(o, first, slots, step, end),
        workgroups: gridOf(Math.ceil(slots / slotsPerWorkgroup(tiling))),
        flops: slots * slotFlops * (end - step),
      });
    }
  }
  return dispatches;
}

/** Dispatches that evaluate velocity, divergence or J·v at given states and times. */
export function planEvaluate(
  o: Slice & {
    field: FusedField;
    evaluator: Evaluator;
    output: EvaluateOutput;
    divergence: DivergenceText;
    flops: number;
    names: {
      weights?: string | undefined;
      offsets?: string | undefined;
      labels?: string | undefined;
      context?: string | undefined;
      table?: string | undefined;
      state: string;
      times: string;
      /** Velocity, divergence, or both. */
      results: readonly string[];
      probes?: string | undefined;
      tangent?: string | undefined;
      product?: string | undefined;
    };
  },
): Dispatch[] {
  const { field, tiling, output, divergence } = o;
  const kernel = o.evaluator({ field, tiling, output, divergence });
  const { names } = o;
  const buffers = [
    names.weights,
    names.offsets,
    names.labels,
    names.context,
    names.table,
    names.state,
    names.times,
    ...names.results,
    o.divergence.mode === "probes" ? names.probes : undefined,
    names.tangent,
    names.product,
  ];
  const slotFlops = o.flops * particlesPerSlot(tiling);
  return Array.from(slotRanges(o, slotFlops), ([first, slots]) => ({
    kernel,
    buffers: buffers.filter((name) => name !== undefined),
    params: fusedParams(o, first, slots, 0, 0),
    workgroups: gridOf(Math.ceil(slots / slotsPerWorkgroup(tiling))),
    flops: slots * slotFlops,
  }));
}

/** Dispatch that fills one branch of the per-particle offsets of the first layer from class labels and context. */
export function planCondition(o: {
  count: number;
  capacity: number;
  width: number;
  units: number;
  inputs: number;
  column: number;
  classes: number;
  context: number;
  branch: number;
  nullClass: boolean;
  names: { parameters: string; offsets: string; labels?: string | undefined; context?: string | undefined };
}): Dispatch {
  const { names } = o;
  return {
    kernel: conditionKernel({ labels: names.labels !== undefined, context: names.context !== undefined }),
    buffers: [names.parameters, names.offsets, names.labels, names.context].filter((name) => name !== undefined),
    params: packParams(
      [
        o.count,
        o.capacity,
        o.width,
        o.units,
        o.inputs,
        o.column,
        o.classes,
        o.context,
        o.branch,
        o.nullClass ? 1 : 0,
      ].map((value) => u32(value)),
    ),
    workgroups: gridOf(Math.ceil(o.capacity / particleWorkgroup)),
    flops: o.capacity * o.width * (2 + 2 * o.context),
  };
}
