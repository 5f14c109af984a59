import type { Dispatch, PlannedBuffer, Rounds, Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";

/** What to bring back of a chunk when it is done: to the host, or into places in a buffer that stays on the device. */
export interface ChunkOutput {
  readonly name: string;
  readonly bytes: number;
  readonly resident?: {
    readonly buffer: GPUBuffer;
    readonly pieces: readonly { from: number; to: number; bytes: number }[];
  };
}

/** Everything that one chunk needs, as data. */
export interface ChunkPlan {
  readonly buffers: readonly PlannedBuffer[];
  /** In order; each short enough for the limit that the planner was given. */
  readonly dispatches: readonly Dispatch[];
  /** Runs behind the dispatches, until no particle is left. */
  readonly rounds?: Rounds | undefined;
  /** Runs behind the rounds. */
  readonly after?: readonly Dispatch[] | undefined;
  readonly outputs: readonly ChunkOutput[];
}

/** A job on a device; it is made again for the next device when that one is lost. */
export type JobMaker = (session: Session) => Promise<Job>;

/** One call on many particles. */
export interface Job {
  /** The name of the call, for messages and labels. */
  readonly what: string;
  /** Names the kernels that most of the work is in: work of one family has one speed. */
  readonly family: string;
  readonly count: number;
  /** Device bytes that one particle of a chunk takes. */
  readonly bytesPerParticle: number;
  /** Floating-point operations that one particle takes. */
  readonly flopsPerParticle: number;
  /** Largest chunk that the planner can handle (binding sizes). */
  readonly largestChunk: number;
  /** Chunks hold a multiple of this many particles, whatever `chunkSize` says, so that blocks of a reduction stay whole. Default 1. */
  readonly multiple?: number;
  /** Buffers that all chunks share, such as packed weights. */
  readonly shared: Shared;
  /** Names of GPUBuffers of the caller that it reads: they are lost with their device, so it cannot go on without them. */
  readonly reads?: readonly string[];
  /** Its results stay on the device: they are lost with it, so it begins anew. */
  readonly isResident?: boolean;
  /** Throws when the call may not go on, because its flow has been disposed. */
  check?(): void;
  /** Plans particles start … start + count − 1 with dispatches of at most `maxFlops`. */
  plan(start: number, count: number, maxFlops: number): ChunkPlan;
}

/** A finished chunk: its outputs on the host, by name. */
export interface ChunkResult {
  readonly start: number;
  readonly count: number;
  readonly outputs: ReadonlyMap<string, ArrayBuffer>;
}

/**
 * How far a call is. Besides each part that is done, a call tells within a second that it is at work: then `done` may be 0, with no
 * particles per second and infinitely many seconds left.
 */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly particlesPerSecond: number;
  readonly secondsLeft: number;
  /** While the call waits for kernels that are being compiled, at most every quarter of a second: how many of them are. */
  readonly compiling?: { readonly done: number; readonly total: number };
  /** While the call waits for the device because a tiling is being timed on it. */
  readonly tuning?: true;
}

/** Options of every call on many particles that concern its running. */
export interface RunOptions {
  /** Particles per chunk; default from memory budget and speed. Results do not depend on it. */
  chunkSize?: number;
  /** Stops the call within one dispatch; the call rejects with the signal's reason. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}
