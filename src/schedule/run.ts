import { waitingSpins } from "#provider";
import { Arena, checked } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { align, mapCopy } from "../gpu/read.ts";
import type { ChunkPlan, ChunkResult, Job, RunOptions } from "./job.ts";
import { flopsPerDispatch, Pacer } from "./pacer.ts";

/** Chunks in flight: one computes while the one before it is read back. */
const chunksInFlight = 2;

/** A chunk should take about this long: long against a read-back, short against a user's patience. */
const secondsPerChunk = 0.5;

/** Runs a job chunk after chunk and yields the results in order. Every exit, also an early one, frees all buffers. */
export async function* runJob(gpu: Gpu, job: Job, options: RunOptions = {}): AsyncGenerator<ChunkResult> {
  const { signal, onProgress } = options;
  gpu.assertUsable();
  signal?.throwIfAborted();
  const pacer = new Pacer(gpu, signal);
  const pending: Launched[] = [];
  const started = performance.now();
  try {
    let start = 0;
    while (start < job.count || pending.length > 0) {
      if (start < job.count && pending.length < chunksInFlight) {
        const count = Math.min(job.count - start, chunkSize(gpu, job, options.chunkSize));
        pending.push(await launch(gpu, pacer, job, start, count));
        start += count;
        continue;
      }
      const oldest = pending[0];
      if (!oldest) break;
      const result = await oldest.result();
      pacer.check();
      oldest.release();
      pending.shift();
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
    for (const chunk of pending) chunk.release();
  }
}

/** Particles in the next chunk: by memory, by speed, or as asked; a multiple of 64 unless asked otherwise. */
function chunkSize(gpu: Gpu, job: Job, asked: number | undefined): number {
  const byMemory = Math.floor(gpu.memoryBudget / chunksInFlight / job.bytesPerParticle);
  const largest = Math.max(1, Math.min(byMemory, job.largestChunk));
  const { multiple = 1 } = job;
  const whole = (particles: number) => Math.max(multiple, Math.floor(particles / multiple) * multiple);
  if (asked !== undefined) return whole(Math.min(asked, largest));
  const bySpeed = (gpu.speed * secondsPerChunk) / job.flopsPerParticle;
  const wanted = Math.max(1024, Math.min(1 << 20, bySpeed));
  return whole(Math.min(largest, Math.ceil(wanted / 64) * 64));
}

interface Launched {
  result(): Promise<ChunkResult>;
  release(): void;
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

/** Uploads a chunk and submits all of its work. */
async function launch(gpu: Gpu, pacer: Pacer, job: Job, start: number, count: number): Promise<Launched> {
  const plan = job.plan(start, count, flopsPerDispatch(gpu));
  const arena = new Arena(gpu);
  const staging: { name: string; bytes: number; buffer: GPUBuffer }[] = [];
  const release = () => {
    arena.release();
    for (const { buffer } of staging) gpu.buffers.release(buffer);
    staging.length = 0;
  };
  try {
    for (const [name, buffer] of job.shared) arena.lend(name, buffer);
    for (const { name, bytes, data } of plan.buffers) await arena.allocate(name, bytes, data);
    await lendCopies(gpu, pacer, job, arena, plan);
    for (const { name, bytes, resident } of plan.outputs) {
      if (!resident)
        staging.push({
          name,
          bytes,
          buffer: await gpu.buffers.acquire(align(bytes), "staging", `${job.what}: ${name}`),
        });
    }
    await pacer.submit(arena, job.what, plan.dispatches, (encoder) => {
      for (const { name, resident } of plan.outputs) {
        for (const { from, to, bytes } of resident?.pieces ?? []) {
          if (resident) encoder.copyBufferToBuffer(arena.buffer(name), from, resident.buffer, to, bytes);
        }
      }
      for (const { name, bytes, buffer } of staging)
        encoder.copyBufferToBuffer(arena.buffer(name), 0, buffer, 0, align(bytes));
    });
  } catch (error) {
    release();
    throw error;
  }
  const names = staging.map(({ name }) => name);
  const read = async (): Promise<ChunkResult> => {
    await pacer.rest();
    const arrays = await pacer.race(Promise.all(staging.map(({ buffer, bytes }) => mapCopy(gpu, buffer, bytes))));
    return { start, count, outputs: new Map(names.map((name, i) => [name, arrays[i] ?? new ArrayBuffer(0)])) };
  };
  // Where waiting is free the copy is asked for at once, so that it is there when the consumer is.
  const early = waitingSpins ? undefined : read();
  early?.catch(() => undefined);
  return { result: () => early ?? read(), release };
}
