import { dispatchOf } from "../../shaders/dispatch.ts";
import { judgeKernel } from "../../shaders/judge.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { item, must } from "../must.ts";
import { perParticle } from "./particles.ts";

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

/** Judges `rows` [count][dim], with `logProb` and with `status` where they are named; `marks` [count] becomes 1 for the good ones. */
export function judge(o: {
  count: number;
  dim: number;
  rows: string;
  logProb?: string | undefined;
  status?: string | undefined;
  tally: string;
  marks?: string | undefined;
}): Dispatch {
  const { count, dim, rows, logProb, status, tally, marks } = o;
  const shape = { logProb: logProb !== undefined, status: status !== undefined, marks: marks !== undefined };
  return dispatchOf(judgeKernel(shape), {
    params: { count, dim },
    buffers: { rows, log_prob: logProb, status, tallies: tally, marks },
    workgroups: perParticle(count),
    flops: count * (dim + 2) * 2,
  });
}
