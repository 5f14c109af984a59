import type { Gpu } from "../gpu/gpu.ts";
import type { Chunk } from "./engine.ts";

/** Work done so far, in floating-point operations, by kind of kernel. */
const ofDevices = new WeakMap<Gpu, Map<string, number>>();

/** Floating-point operations of a call: those of this work, and those that it is known to ask for later. */
export interface Work {
  readonly now: number;
  readonly ahead: number;
}

/** Of a chunk with so many operations for each particle, in a call of `total` particles. */
export const chunkWork = ({ start, count }: Chunk, perParticle: number, total = 0): Work => ({
  now: count * perParticle,
  ahead: Math.max(0, total - start - count) * perParticle,
});

/**
 * Whether the work of one kind on a device, with this work, has come to `enough`: of two texts with the same bits the one that compiles
 * sooner serves until then, and the faster one from there on. With `enough` the work
 * for which the first one takes as much longer as the second one takes to compile, neither order of calls costs more than twice the least.
 */
export function isWorthwhile(gpu: Gpu, kind: string, { now, ahead }: Work, enough: number): boolean {
  let done = ofDevices.get(gpu);
  if (!done) {
    done = new Map();
    ofDevices.set(gpu, done);
  }
  const all = (done.get(kind) ?? 0) + now;
  done.set(kind, all);
  return all + ahead > enough;
}
