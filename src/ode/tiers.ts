import type { Gpu } from "../gpu/gpu.ts";

/** Work done so far, in floating-point operations, by kind of kernel. */
const ofDevices = new WeakMap<Gpu, Map<string, number>>();

/**
 * Whether the work of one kind on a device, with this work, has come to `enough`: of two texts with the same bits the one that compiles
 * sooner serves until then, and the faster one from there on. `ahead` is what the call is known to ask for later. With `enough` the work
 * for which the first one takes as much longer as the second one takes to compile, neither order of calls costs more than twice the least.
 */
export function isWorthwhile(gpu: Gpu, kind: string, work: number, ahead: number, enough: number): boolean {
  let done = ofDevices.get(gpu);
  if (!done) {
    done = new Map();
    ofDevices.set(gpu, done);
  }
  const all = (done.get(kind) ?? 0) + work;
  done.set(kind, all);
  return all + ahead > enough;
}
