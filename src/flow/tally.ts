import type { PlannedBuffer } from "../gpu/kernel.ts";
import { item, must } from "../must.ts";

/** Particles of a result that are not to be trusted. */
export interface Tally {
  /** With a NaN or an infinity. */
  nonFinite: number;
  /** Finite, but their adaptive solve did not end. */
  unfinished: number;
}

const tallyBytes = 8;

/** The buffer in which a {@link judge} counts, and as which it comes back. */
export function tallyBuffer(name: string): { buffer: PlannedBuffer; output: { name: string; bytes: number } } {
  return { buffer: { name, bytes: tallyBytes, data: new Uint32Array(2) }, output: { name, bytes: tallyBytes } };
}

/** What has come back of such a buffer. */
export function readTally(bytes: ArrayBuffer | undefined): Tally {
  const words = new Uint32Array(must(bytes, "the tally of a chunk"));
  return { nonFinite: item(words, 0), unfinished: item(words, 1) };
}
