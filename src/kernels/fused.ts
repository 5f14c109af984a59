import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import type { DivergenceText, FusedField } from "../../shaders/field.ts";
import {
  type EvaluateOutput,
  type evaluateKernel,
  type integrateKernel,
  isAtOneTime,
} from "../../shaders/integrate.ts";
import { blocksWindows } from "../../shaders/narrow-sizes.ts";
import { particlesPerSlot, slotsPerWorkgroup, type Tiling } from "../../shaders/tiling.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { must } from "../must.ts";

/** A family of integrators: a kernel from its shape. */
export type Integrator = typeof integrateKernel;
type Evaluator = typeof evaluateKernel;

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
  /** What a network's table begins with: one of the stages of all steps. */
  readonly table?: { readonly firstRow: number } | undefined;
}

function fusedNumbers({ capacity, tiling, probes, branches, table }: Slice) {
  return {
    stride: capacity / tiling.lanes,
    probes,
    branches: branches.count,
    weight_null: branches.weightNull,
    weight_label: branches.weightLabel,
    null_first: branches.nullFirst ? 1 : 0,
    first_row: table?.firstRow ?? 0,
    zero: 0,
  };
}

/** How many of all go at once, at most `most`: about the same each time, so that no dispatch is a small rest. */
const evenly = (all: number, most: number) => Math.max(1, Math.ceil(all / Math.ceil(all / most)));

/** Ranges of slots (groups of particles that share an index), each within `maxFlops` where `flops` is the work of one slot. */
function* slotRanges({ capacity, maxFlops, tiling }: Slice, flops: number): Generator<[first: number, slots: number]> {
  const slots = capacity / particlesPerSlot(tiling);
  const whole = slotsPerWorkgroup(tiling);
  // never so few that a device would idle
  const most = Math.max(4 * tiling.workgroupSize, Math.floor(maxFlops / flops / whole) * whole);
  const each = evenly(slots / whole, most / whole) * whole;
  for (let first = 0; first < slots; first += each) yield [first, Math.min(each, slots - first)];
}

/** Buffers of what a field has beside its states, where it has it. */
type FieldNames = { readonly [name in "weights" | "offsets" | "labels" | "context" | "table"]?: string | undefined };

/** What binds those of a field, with its weights' windows where they are parts of one buffer, and where each begins in it. */
function fieldBindings(field: FusedField, { space, outputs }: Tiling, names: FieldNames) {
  const { weights, offsets, labels, context, table } = names;
  const buffers = { weights, offsets, labels, context, table };
  if (space !== "windows" || field.kind !== "mlp" || weights === undefined) return { buffers };
  const windows = must(blocksWindows(field, outputs), "the windows of the weights").map(({ begin }, n) => ({
    name: n === 0 ? "weights" : `weights${n}`,
    bytes: 16 * begin,
  }));
  return {
    buffers: { ...buffers, ...Object.fromEntries(windows.map(({ name }) => [name, weights])) },
    offsets: Object.fromEntries(windows.map(({ name, bytes }) => [name, bytes])),
  };
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
    names: FieldNames & {
      schedule: string;
      state: string;
      integral?: string | undefined;
      probes?: string | undefined;
      kept?: string | undefined;
    };
  },
): Dispatch[] {
  const { field, tiling, stages, divergence, freeStages } = o;
  const { schedule, state, kept } = o.names;
  const keeps = kept === undefined ? {} : ({ keeps: true } as const);
  const kernel = o.integrator({ field, tiling, stages, divergence, freeStages, ...keeps });
  const integral = divergence.mode === "none" ? undefined : o.names.integral;
  const probes = divergence.mode === "probes" ? o.names.probes : undefined;
  const own = fieldBindings(field, tiling, o.names);
  const slotFlops = o.flopsPerStep * particlesPerSlot(tiling);
  const dispatches: Dispatch[] = [];
  for (const [first, slots] of slotRanges(o, slotFlops)) {
    const most = Math.max(1, Math.floor(o.maxFlops / (slots * slotFlops)));
    const stepsAtOnce = evenly(o.lastStep - o.firstStep, most);
    for (let step = o.firstStep; step < o.lastStep; step += stepsAtOnce) {
      const end = Math.min(o.lastStep, step + stepsAtOnce);
      dispatches.push(
        dispatchOf(kernel, {
          params: { first, slots, first_step: step, last_step: end, ...fusedNumbers(o) },
          ...own,
          buffers: { ...own.buffers, schedule, state, integral, probes, kept },
          workgroups: gridOf(Math.ceil(slots / slotsPerWorkgroup(tiling))),
          flops: slots * slotFlops * (end - step),
        }),
      );
    }
  }
  return dispatches;
}

/** Dispatches that evaluate velocity, divergence or J·v at given states and times; of the names those are taken that the output asks for. */
export function planEvaluate(
  o: Slice & {
    field: FusedField;
    evaluator: Evaluator;
    output: EvaluateOutput;
    divergence: DivergenceText;
    flops: number;
    names: FieldNames & {
      state: string;
      times: string;
      velocity: string;
      divergence: string;
      probes?: string | undefined;
      tangent?: string | undefined;
      product?: string | undefined;
    };
  },
): Dispatch[] {
  const { field, tiling, output, divergence } = o;
  const kernel = o.evaluator({ field, tiling, output, divergence });
  const { state, times } = o.names;
  const tracks = output === "divergence" || output === "both";
  const own = fieldBindings(field, tiling, o.names);
  const buffers = {
    ...own.buffers,
    state,
    times: isAtOneTime(field) ? undefined : times,
    velocity: output === "divergence" ? undefined : o.names.velocity,
    divergence: tracks ? o.names.divergence : undefined,
    probes: tracks && divergence.mode === "probes" ? o.names.probes : undefined,
    tangent: output === "jvp" ? o.names.tangent : undefined,
    product: output === "jvp" ? o.names.product : undefined,
  };
  const slotFlops = o.flops * particlesPerSlot(tiling);
  return Array.from(slotRanges(o, slotFlops), ([first, slots]) =>
    dispatchOf(kernel, {
      params: { first, slots, first_step: 0, last_step: 0, ...fusedNumbers(o) },
      ...own,
      buffers,
      workgroups: gridOf(Math.ceil(slots / slotsPerWorkgroup(tiling))),
      flops: slots * slotFlops,
    }),
  );
}
