import type { Dispatch } from "../../shaders/dispatch.ts";

export type { Dispatch } from "../../shaders/dispatch.ts";
export type { Kernel } from "../../shaders/kernel.ts";

/** A device buffer that a plan needs. Its content is undefined unless `data` or `copy` is given. */
export interface PlannedBuffer {
  readonly name: string;
  readonly bytes: number;
  readonly data?: Float32Array | Uint32Array;
  /** Bytes of a caller's buffer on the same device that are copied to the beginning of this one. */
  readonly copy?: { readonly from: GPUBuffer; readonly offset: number; readonly bytes: number };
}

/** One buffer per name, as large as the largest of that name: scratch that two plans use one after the other. */
export function mergeBuffers(buffers: readonly PlannedBuffer[]): PlannedBuffer[] {
  const byName = new Map<string, PlannedBuffer>();
  for (const buffer of buffers) {
    const known = byName.get(buffer.name);
    const data = buffer.data ?? known?.data;
    const bytes = Math.max(buffer.bytes, known?.bytes ?? 0);
    byName.set(buffer.name, { name: buffer.name, bytes, ...(data ? { data } : {}) });
  }
  return [...byName.values()];
}

/** Work in rounds, of which the device says after each how many particles another one is for. */
export interface Rounds {
  /** Particles of the first round. */
  readonly particles: number;
  /** Dispatches of a round; how many particles are left is then a u32 in a buffer. */
  next(
    round: number,
    particles: number,
    maxFlops: number,
  ): { readonly dispatches: readonly Dispatch[]; readonly left: { readonly buffer: string; readonly offset: number } };
}

/** Buffers that all chunks of a job share. They keep their content until they are released. */
export interface Shared {
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
  /** Of the weights in them. */
  readonly version: number;
  release(): void;
}
