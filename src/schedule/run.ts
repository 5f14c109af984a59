import { waitingSpins } from "#provider";
import { PushforwardError } from "../errors.ts";
import { Arena, checked, paramsBytes } from "../gpu/arena.ts";
import { sizeClass } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Rounds } from "../gpu/kernel.ts";
import { align, mapCopy } from "../gpu/read.ts";
import type { ChunkPlan, ChunkResult, Job, RunOptions } from "./job.ts";
import { budgetOf } from "./memory.ts";
import { dispatchesPerSubmit, flopsPerDispatch, Pacer } from "./pacer.ts";
import type { Work } from "./queue.ts";
import { type Speed, speedOf } from "./speed.ts";

/** Chunks in flight: one computes while the one before it is read back. */
const chunksInFlight = 2;

/** A chunk should take about this long: long against a read-back, short against a user's patience. */
const secondsPerChunk = 0.5;

/**
 * Runs a job chunk after chunk and yields the results in order. The next chunks are uploaded, computed and read back while the
 * consumer has one. Every exit, also an early one, frees all buffers.
 */
export async function* runJob(gpu: Gpu, job: Job, options: RunOptions = {}): AsyncGenerator<ChunkResult> {
  const { signal, onProgress } = options;
  gpu.assertUsable();
  signal?.throwIfAborted();
  const pacer = new Pacer(gpu, speedOf(gpu, job.family), signal);
  const budget = budgetOf(gpu);
  const pending: RunningChunk[] = [];
  const holder = {
    recall: () => {
      for (const chunk of pending) chunk.recall();
    },
  };
  budget.join(holder);
  const started = performance.now();
  let next = 0;
  /** Particles that a chunk may hold, less where the device had no room for more. */
  let room = Number.POSITIVE_INFINITY;
  /** Launches chunks one after the other, so that each is sized and planned by the speed of those before it. */
  const extend = () => {
    if (next >= job.count || pending.length >= chunksInFlight || pending.some(({ isLaunching }) => isLaunching)) return;
    const count = Math.min(job.count - next, chunkSize(gpu, job, pacer.speed, options.chunkSize), room);
    const chunk = new RunningChunk(gpu, pacer, job, next, count);
    next += count;
    pending.push(chunk);
    chunk.launched.then(extend, () => undefined);
  };
  /** A chunk for which the device had no room is begun anew as two; nothing behind it has been launched. */
  const smaller = (failed: RunningChunk, error: unknown): undefined => {
    const half = wholeBlocks(failed.count / 2, job);
    if (!(error instanceof PushforwardError && error.code === "out-of-memory") || half >= failed.count) throw error;
    failed.release();
    pending.shift();
    gpu.buffers.drop();
    room = half;
    next = failed.start;
    extend();
  };
  try {
    extend();
    for (let [oldest] = pending; oldest; [oldest] = pending) {
      const result = await oldest.result().catch((error: unknown) => smaller(oldest as RunningChunk, error));
      if (!result) continue;
      pacer.check();
      pending.shift();
      extend();
      if (onProgress) {
        const done = result.start + result.count;
        const particlesPerSecond = done / Math.max(1e-9, (performance.now() - started) / 1000);
        onProgress({
          done,
          total: job.count,
          particlesPerSecond,
          secondsLeft: (job.count - done) / particlesPerSecond,
        });
      }
      yield result;
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
function chunkSize(gpu: Gpu, job: Job, speed: Speed, asked: number | undefined): number {
  const byMemory = Math.floor(budgetOf(gpu).share(chunksInFlight) / job.bytesPerParticle);
  const largest = Math.max(1, Math.min(byMemory, job.largestChunk));
  if (asked !== undefined) return wholeBlocks(Math.min(asked, largest), job);
  const bySpeed = (speed.flops * secondsPerChunk) / job.flopsPerParticle;
  // a power of two: as the speed wavers, chunks of few sizes find their buffers in the pool
  const wanted = 2 ** Math.floor(Math.log2(Math.max(1024, Math.min(1 << 20, bySpeed))));
  return wholeBlocks(Math.min(largest, wanted), job);
}

/** As many particles in whole blocks, at least one. */
function wholeBlocks(particles: number, { multiple = 1 }: Job): number {
  return Math.max(multiple, Math.floor(particles / multiple) * multiple);
}

/** Copies the chunk's part of the caller's own buffers, on a submit of its own before the chunk's work. */
async function lendCopies(gpu: Gpu, pacer: Pacer, job: Job, arena: Arena, { buffers }: ChunkPlan): Promise<void> {
  if (!buffers.some(({ copy }) => copy)) return;
  pacer.check();
  await checked(gpu, `${job.what}: copying a GPUBuffer that was passed in`, () => {
    const encoder = gpu.device.createCommandEncoder({ label: job.what });
    for (const { name, copy } of buffers) {
      if (copy && copy.bytes > 0) encoder.copyBufferToBuffer(copy.from, copy.offset, arena.buffer(name), 0, copy.bytes);
    }
    gpu.device.queue.submit([encoder.finish()]);
  });
}

/** One chunk of a running job: uploaded, computed, read back. */
class RunningChunk {
  readonly #gpu: Gpu;
  readonly #pacer: Pacer;
  readonly #job: Job;
  readonly start: number;
  readonly count: number;
  readonly #arena: Arena;
  readonly #staging: { name: string; bytes: number; buffer: GPUBuffer }[] = [];
  #freeMemory: (() => void) | undefined;
  #result: Promise<ChunkResult> | undefined;
  #lastWork: Work | undefined;
  isLaunching = true;
  /** Settles when all of the chunk's work is submitted. */
  readonly launched: Promise<void>;

  constructor(gpu: Gpu, pacer: Pacer, job: Job, start: number, count: number) {
    this.#gpu = gpu;
    this.#pacer = pacer;
    this.#job = job;
    this.start = start;
    this.count = count;
    this.#arena = new Arena(gpu);
    this.launched = this.#launch().finally(() => {
      this.isLaunching = false;
    });
    this.launched.catch(() => undefined);
    // Where waiting is free the result is asked for at once, so that it is there when the consumer is.
    if (!waitingSpins) this.recall();
  }

  /** Uploads the chunk and submits all of its work. */
  async #launch(): Promise<void> {
    const gpu = this.#gpu;
    const pacer = this.#pacer;
    const job = this.#job;
    const arena = this.#arena;
    const plan = job.plan(this.start, this.count, flopsPerDispatch(pacer.speed));
    this.#freeMemory = await budgetOf(gpu).reserve(bytesOf(plan), (promise) => pacer.race(promise));
    for (const [name, buffer] of job.shared) arena.lend(name, buffer);
    for (const { name, bytes, data } of plan.buffers) await arena.allocate(name, bytes, data);
    await lendCopies(gpu, pacer, job, arena, plan);
    for (const { name, bytes, resident } of plan.outputs) {
      if (resident) continue;
      const buffer = await gpu.buffers.acquire(align(bytes), "staging", `${job.what}: ${name}`);
      this.#staging.push({ name, bytes, buffer });
    }
    if (plan.rounds) {
      await pacer.submit(arena, job.what, plan.dispatches);
      await this.#runRounds(plan.rounds);
    }
    const last = plan.rounds ? (plan.after ?? []) : plan.dispatches;
    this.#lastWork = await pacer.submit(arena, job.what, last, (encoder) => {
      for (const { name, resident } of plan.outputs) {
        for (const { from, to, bytes } of resident?.pieces ?? []) {
          if (resident) encoder.copyBufferToBuffer(arena.buffer(name), from, resident.buffer, to, bytes);
        }
      }
      for (const { name, bytes, buffer } of this.#staging)
        encoder.copyBufferToBuffer(arena.buffer(name), 0, buffer, 0, align(bytes));
    });
  }

  /** Round after round, each for as many particles as the one before has left. */
  async #runRounds(rounds: Rounds): Promise<void> {
    const gpu = this.#gpu;
    const pacer = this.#pacer;
    const arena = this.#arena;
    const staging = await gpu.buffers.acquire(4, "staging", `${this.#job.what}: particles left`);
    try {
      let { particles } = rounds;
      for (let round = 0; particles > 0; round++) {
        const { dispatches, left } = rounds.next(round, particles, flopsPerDispatch(pacer.speed));
        const work = await pacer.submit(arena, this.#job.what, dispatches, (encoder) => {
          encoder.copyBufferToBuffer(arena.buffer(left.buffer), left.offset, staging, 0, 4);
        });
        await pacer.rest(work);
        [particles = 0] = new Uint32Array(await pacer.race(mapCopy(gpu, staging, 4)));
        pacer.check();
      }
    } finally {
      gpu.buffers.release(staging);
    }
  }

  /** Brings the result to the host as soon as it is there, and frees its place on the device. */
  recall(): void {
    this.#result ??= this.#read();
    this.#result.catch(() => undefined);
  }

  result(): Promise<ChunkResult> {
    this.#result ??= this.#read();
    return this.#result;
  }

  async #read(): Promise<ChunkResult> {
    await this.launched;
    await this.#pacer.rest(this.#lastWork);
    const names = this.#staging.map(({ name }) => name);
    const copies = this.#staging.map(({ buffer, bytes }) => mapCopy(this.#gpu, buffer, bytes));
    const arrays = await this.#pacer.race(Promise.all(copies));
    this.release();
    const outputs = new Map(names.map((name, i) => [name, arrays[i] ?? new ArrayBuffer(0)]));
    return { start: this.start, count: this.count, outputs };
  }

  release(): void {
    this.#arena.release();
    for (const { buffer } of this.#staging.splice(0)) this.#gpu.buffers.release(buffer);
    this.#freeMemory?.();
  }
}

/** Bytes that a chunk holds on the device. */
function bytesOf({ buffers, dispatches, outputs }: ChunkPlan): number {
  const read = outputs.filter(({ resident }) => !resident);
  const all = [...buffers, ...read, { bytes: paramsBytes(Math.min(dispatchesPerSubmit, dispatches.length)) }];
  return all.reduce((sum, { bytes }) => sum + sizeClass(bytes), 0);
}
