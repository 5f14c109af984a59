import type { JacobianTexts } from "../../shaders/field.ts";
import type { Dispatch, PlannedBuffer, Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";

/** How a call finds the divergence, checked and with the number of probes. */
export type DivergenceMode =
  | { readonly mode: "none" }
  | { readonly mode: "exact" }
  /** In place of a divergence the log-determinants of the steps. */
  | { readonly mode: "discrete" }
  | { readonly mode: "probes"; readonly kind: "rademacher" | "gaussian" | "given"; readonly count: number };

/**
 * What a network's weights and activations are held in: f32 (default), or f16 on devices with the feature `shader-f16`: on GPUs
 * for any network up to width 256 and dim 16, on adapters in software for an mlp up to width 128. Half precision rounds each activation to 11 bits, so a velocity is good to about 1 % of
 * its largest component (the state, the time and log p stay f32), and activations beyond 65504 overflow.
 */
export type Precision = "f32" | "f16";

/** Class labels, context and guidance of a call; arrays and buffers cover all particles of the call. */
export interface Conditions {
  readonly labels?: Uint32Array | GPUBuffer | undefined;
  readonly context?: Float32Array | GPUBuffer | undefined;
  /** w of (1 − w) u_null + w u_label (Ho & Salimans 2022; docs/mathematics.md, Guidance). */
  readonly guidance: number;
  /** Whether other parts of a solve have another w, so that both fields are there whatever it is here. */
  readonly isMixed?: boolean;
  /** Times between which w holds; it is 1 elsewhere. */
  readonly interval?: readonly [from: number, to: number];
}

/** The conditions at a time. */
export function conditionsAt(conditions: Conditions, t: number): Conditions {
  const { interval } = conditions;
  return interval && (t < interval[0] || t > interval[1]) ? { ...conditions, guidance: 1 } : conditions;
}

/** The place of a chunk in its call; `capacity` is its particles with their padding. */
export interface Chunk {
  readonly start: number;
  readonly count: number;
  readonly capacity: number;
  readonly maxFlops: number;
}

/** Particles that chunks and batches are padded to: every tiling divides it. */
const particleMultiple = 64;

/** Particles with their padding. */
export const padded = (count: number): number => Math.ceil(count / particleMultiple) * particleMultiple;

export function chunkOf(start: number, count: number, maxFlops: number): Chunk {
  return { start, count, capacity: padded(count), maxFlops };
}

/** Particles of the largest chunk whose widest buffer, of `floats` per particle, fits into a binding. */
export function largestChunk(maxBindingBytes: number, floats: number): number {
  return Math.max(1, Math.floor(maxBindingBytes / (floats * 4)) - particleMultiple);
}

/** Share of a network's multiply-adds from which it pays to compute what depends on time and class alone once for all particles. */
export const worthTable = 0.05;

/** Integrals of the divergence that a solve carries: each probe has its own. */
export const integralsOf = (mode: DivergenceMode): number => (mode.mode === "probes" ? mode.count : 1);

/** Tangents that the divergence of a particle takes. */
export function tangentsOf(dim: number, mode: DivergenceMode): number {
  return mode.mode === "none" ? 0 : mode.mode === "probes" ? mode.count : dim;
}

/** The buffers that every engine's plans share with their caller, all feature-major with `capacity` particles a row. */
export const names = {
  state: "state", // [dim][capacity], and behind it the Jacobian of the last step where steps have one, [dim][dim][capacity]
  integral: "integral", // −∫ div u dt, [probes or 1][capacity]
  probes: "probes", // [probes][dim][capacity]
  times: "times", // [capacity], for evaluations
  schedule: "schedule", // a row per step and stage
  velocity: "velocity", // [dim][capacity]
  divergence: "divergence", // [capacity]
  tangent: "tangent", // [dim][capacity]: v of J·v, w of Jᵀ·w
  product: "product", // [dim][capacity]: J·v, Jᵀ·w
} as const;

export interface Integration {
  readonly stages: number;
  readonly freeStages: boolean;
  readonly schedule: Float32Array;
  /** Whether the schedule may be filled with another grid between two submits, in the buffer as here. */
  readonly isLive?: boolean;
  readonly divergence: DivergenceMode;
  /** What writes the Jacobian of a step into fused kernels, where it is asked for. */
  readonly jacobian?: JacobianTexts | undefined;
  /** Name of a buffer [dim][capacity] for the velocity of the first of two stages, in the last of the steps that are asked for; its Jacobian lies behind it. */
  readonly kept?: string | undefined;
  /** Whether the steps before these were planned for the same buffers, which nothing has used in between. */
  readonly goesOn?: boolean;
  /** Particles of all chunks of the call. */
  readonly total?: number;
}

/** `both` is velocity and divergence, each probe's by itself: [probes or 1][capacity]. */
export type Evaluation = "velocity" | "divergence" | "both" | "jvp" | "vjp";

/**
 * A velocity field that can plan its own work on the device: fused kernels for narrow networks and WGSL fields,
 * a kernel per layer for the rest. Plans are data; nothing here touches the device.
 */
export interface Engine {
  readonly dim: number;
  /** Numbers of context per particle. */
  readonly contextWidth: number;
  /** Names its kernels: what shares a family runs about as fast. */
  readonly family: string;
  /** Work of one evaluation for one particle, without and with the divergence. */
  readonly flops: number;
  divergenceFlops(mode: DivergenceMode): number;
  /** Floats of scratch per particle, for sizing chunks. `stages` are those of {@link Integration}, none for evaluations. */
  scratchFloats(mode: DivergenceMode | Evaluation, stages?: number): number;
  /** Buffers that all chunks share: the packed weights of this moment, which stay as they are until they are released. */
  shared(session: Session): Promise<Shared>;
  /** Scratch buffers of one chunk, conditions included; `isAtOneTime` as in {@link Engine.evaluate}. */
  buffers(
    chunk: Chunk,
    conditions: Conditions,
    mode: DivergenceMode | Evaluation,
    stages?: number,
    isAtOneTime?: boolean,
  ): PlannedBuffer[];
  /** Dispatches to run once per chunk, before anything else; `solves` says that `integrate` comes. */
  begin(chunk: Chunk, conditions: Conditions, solves?: boolean): Dispatch[];
  /** Dispatches for steps firstStep … lastStep − 1. */
  integrate(
    chunk: Chunk,
    conditions: Conditions,
    integration: Integration,
    firstStep: number,
    lastStep: number,
  ): Dispatch[];
  /** Dispatches for one evaluation at `state` and `times`; `isAtOneTime` says that these are one time. */
  evaluate(
    chunk: Chunk,
    conditions: Conditions,
    output: Evaluation,
    divergence: DivergenceMode,
    isAtOneTime?: boolean,
  ): Dispatch[];
}
