import type { Kernel } from "../../shaders/kernel.ts";

export type { Access, Kernel } from "../../shaders/kernel.ts";

/** One dispatch of a plan: pure data. Buffers are named; names are resolved by the {@link Arena} that runs the plan. */
export interface Dispatch {
  readonly kernel: Kernel;
  /** One name per binding that is not `params`, in the kernel's order. */
  readonly buffers: readonly string[];
  /** The bytes of the params block; needed when the kernel has one. */
  readonly params?: Uint8Array;
  readonly workgroups: readonly [x: number, y?: number, z?: number];
  /** Estimated floating-point operations, for sizing submits. */
  readonly flops: number;
}

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

/** Packs a params block: every field is a u32 or an f32, in the order of the WGSL struct (no vectors, so no gaps). */
export function packParams(fields: readonly (readonly ["u32" | "f32", number])[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(fields.length / 4) * 16);
  const view = new DataView(bytes.buffer);
  for (const [i, [type, value]] of fields.entries()) {
    if (type === "u32") view.setUint32(4 * i, value, true);
    else view.setFloat32(4 * i, value, true);
  }
  return bytes;
}

export const u32 = (value: number): readonly ["u32", number] => ["u32", value];
export const f32 = (value: number): readonly ["f32", number] => ["f32", value];

/** Buffers that all chunks of a job share. They keep their content until they are released. */
export interface Shared {
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
  /** Of the weights in them. */
  readonly version: number;
  release(): void;
}
