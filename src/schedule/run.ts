import { PushforwardError } from "../errors.ts";
import type { Session } from "../gpu/session.ts";
import { RunningChunk } from "./chunk.ts";
import type { ChunkResult, Job, RunOptions } from "./job.ts";
import { budgetOf } from "./memory.ts";
import { Pacer } from "./pacer.ts";
import type { SignOfLife } from "./sign-of-life.ts";
import { type Speed, speedOf } from "./speed.ts";

/** Chunks in flight: one computes while the one before it is read back. */
const chunksInFlight = 2;

/** A chunk should take about this long: long against a read-back, short against a user's patience. */
const secondsPerChunk = 0.5;

/** Particles of a chunk on a device however fast: of a small network they keep a card of 100 TFLOP/s at work for 14 ms. */
const mostParticles = 1 << 22;

/** Where a job stands, for the device that goes on with it. */
export interface Standing {
  /** The first particle that was not given to the consumer yet. */
  next: number;
  /** Particles that a chunk may hold: fewer where a device had no room for more, or was lost by it. */
  room: number;
  /** Particles in the chunk that is waited for. */
  chunk: number;
}

/**
 * Runs a job on one device, chunk after chunk from where it stands, and yields the results in order. The next chunks are uploaded,
 * computed and read back while the consumer has one. Every exit, also an early one, frees all buffers.
 */
export async function* runOn(
  session: Session,
  job: Job,
  standing: Standing,
  options: RunOptions,
  sign: SignOfLife,
): AsyncGenerator<ChunkResult> {
  const { signal } = options;
  session.assertUsable();
  signal?.throwIfAborted();
  const pacer = new Pacer(session, speedOf(session, job.family), signal, sign);
  const budget = budgetOf(session);
  const pending: RunningChunk[] = [];
  const holder = {
    recall: () => {
      for (const chunk of pending) chunk.recall();
    },
  };
  budget.join(holder);
  let next = standing.next;
  /** Launches chunks one after the other, so that each is sized and planned by the speed of those before it. */
  const extend = () => {
    if (next >= job.count || pending.length >= chunksInFlight || pending.some(({ isLaunching }) => isLaunching)) return;
    const size = chunkSize(session, job, pacer.speed, options.chunkSize);
    const count = Math.min(job.count - next, size, wholeBlocks(standing.room, job));
    const chunk = new RunningChunk(session, pacer, job, next, count);
    next += count;
    pending.push(chunk);
    chunk.launched.then(extend, () => undefined);
  };
  /** A chunk for which the device had no room is begun anew as two, and so is what comes behind it. */
  const smaller = async (failed: RunningChunk, error: unknown): Promise<undefined> => {
    const half = wholeBlocks(failed.count / 2, job);
    if (!(error instanceof PushforwardError && error.code === "out-of-memory") || half >= failed.count) throw error;
    next = job.count;
    const dropped = pending.splice(0);
    await Promise.allSettled(dropped.map(({ launched }) => launched));
    for (const chunk of dropped) chunk.release();
    session.buffers.drop();
    standing.room = half;
    next = failed.start;
    extend();
  };
  try {
    extend();
    for (let [oldest] = pending; oldest; [oldest] = pending) {
      standing.chunk = oldest.count;
      const result = await oldest.result().catch((error: unknown) => smaller(oldest as RunningChunk, error));
      if (!result) continue;
      pacer.check();
      pending.shift();
      extend();
      standing.next = result.start + result.count;
      yield result;
      job.check?.();
    }
    await pacer.drain();
  } finally {
    next = job.count;
    pacer.close();
    budget.leave(holder);
    // What is half launched stops at its next check.
    await Promise.allSettled(pending.map(({ launched }) => launched));
    for (const chunk of pending) chunk.release();
  }
}

/** Particles in the next chunk: by memory, by speed, or as asked; a multiple of 64 unless asked otherwise. */
function chunkSize(session: Session, job: Job, speed: Speed, asked: number | undefined): number {
  const byMemory = Math.floor(budgetOf(session).share(chunksInFlight) / job.bytesPerParticle);
  const largest = Math.max(1, Math.min(byMemory, job.largestChunk));
  if (asked !== undefined) return wholeBlocks(Math.min(asked, largest), job);
  const bySpeed = (speed.flops * secondsPerChunk) / job.flopsPerParticle;
  // a power of two: as the speed wavers, chunks of few sizes find their buffers in the pool
  const wanted = 2 ** Math.floor(Math.log2(Math.max(1024, Math.min(mostParticles, bySpeed))));
  return wholeBlocks(Math.min(largest, wanted), job);
}

/** As many particles in whole blocks, at least one. */
function wholeBlocks(particles: number, { multiple = 1 }: Job): number {
  return Math.max(multiple, Math.floor(particles / multiple) * multiple);
}
