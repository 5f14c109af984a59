import { waitingSpins } from "#provider";
import { Arena, bytesOfParams, validated } from "../gpu/arena.ts";
import { sizeClass } from "../gpu/buffers.ts";
import type { Kernel, Rounds } from "../gpu/kernel.ts";
import { align, mapCopy } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import type { ChunkPlan, ChunkResult, Job } from "./job.ts";
import { budgetOf } from "./memory.ts";
import { dispatchesPerSubmit, flopsPerDispatch, type Pacer } from "./pacer.ts";
import type { Work } from "./queue.ts";
import { sharesCores } from "./queue-of.ts";

/** Copies the chunk's part of the caller's own buffers, on a submit of its own before the chunk's work. */
async function lendCopies(
  session: Session,
  pacer: Pacer,
  job: Job,
  arena: Arena,
  { buffers }: ChunkPlan,
): Promise<void> {
  if (!buffers.some(({ copy }) => copy)) return;
  pacer.check();
  await validated(session, `${job.what}: copying a GPUBuffer that was passed in`, () => {
    const encoder = session.device.createCommandEncoder({ label: job.what });
    for (const { name, copy } of buffers) {
      if (copy && copy.bytes > 0) encoder.copyBufferToBuffer(copy.from, copy.offset, arena.buffer(name), 0, copy.bytes);
    }
    session.device.queue.submit([encoder.finish()]);
  });
}

/** One chunk of a running job: uploaded, computed, read back. */
export class RunningChunk {
  readonly #session: Session;
  readonly #pacer: Pacer;
  readonly #job: Job;
  readonly start: number;
  readonly count: number;
  readonly #arena: Arena;
  readonly #staging: { name: string; bytes: number; buffer: GPUBuffer }[] = [];
  #freeMemory: (() => void) | undefined;
  #result: Promise<ChunkResult> | undefined;
  #lastWork: Work | undefined;
  #isReleased = false;
  isLaunching = true;
  /** Settles when all of the chunk's work is submitted. */
  readonly launched: Promise<void>;

  constructor(session: Session, pacer: Pacer, job: Job, start: number, count: number) {
    this.#session = session;
    this.#pacer = pacer;
    this.#job = job;
    this.start = start;
    this.count = count;
    this.#arena = new Arena(session);
    this.launched = this.#launch().finally(() => {
      this.isLaunching = false;
    });
    this.launched.catch(() => undefined);
    // Where waiting is free the result is asked for at once, so that it is there when the consumer is.
    if (!(waitingSpins && sharesCores(session))) this.recall();
  }

  /** Uploads the chunk and submits all of its work. */
  async #launch(): Promise<void> {
    const session = this.#session;
    const pacer = this.#pacer;
    const job = this.#job;
    const arena = this.#arena;
    const plan = job.plan(this.start, this.count, flopsPerDispatch(pacer.speed));
    if (!prepared.has(job)) {
      prepared.add(job);
      await pacer.prepare(kernelsOf(plan, flopsPerDispatch(pacer.speed)));
    }
    this.#freeMemory = await budgetOf(session).reserve(bytesOf(plan), (promise) => pacer.race(promise));
    for (const [name, buffer] of job.shared.buffers) arena.lend(name, buffer);
    for (const { name, bytes, data } of plan.buffers) await arena.allocate(name, bytes, data);
    await lendCopies(session, pacer, job, arena, plan);
    for (const { name, bytes, resident } of plan.outputs) {
      if (resident) continue;
      const buffer = await session.buffers.acquire(align(bytes), "staging", `${job.what}: ${name}`);
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
    const session = this.#session;
    const pacer = this.#pacer;
    const arena = this.#arena;
    const staging = await session.buffers.acquire(4, "staging", `${this.#job.what}: particles left`);
    try {
      let { particles } = rounds;
      for (let round = 0; particles > 0; round++) {
        const { dispatches, left } = rounds.next(round, particles, flopsPerDispatch(pacer.speed));
        const work = await pacer.submit(arena, this.#job.what, dispatches, (encoder) => {
          encoder.copyBufferToBuffer(arena.buffer(left.buffer), left.offset, staging, 0, 4);
        });
        await pacer.rest(work);
        particles = item(new Uint32Array(await pacer.race(mapCopy(session, staging, 4))), 0);
        pacer.check();
      }
    } finally {
      session.buffers.release(staging);
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
    const staging = [...this.#staging];
    const names = staging.map(({ name }) => name);
    const arrays = await this.#pacer.readBack(this.#lastWork, () => {
      if (this.#isReleased) throw new Error("this chunk is no longer wanted");
      return Promise.all(staging.map(({ buffer, bytes }) => mapCopy(this.#session, buffer, bytes)));
    });
    this.release();
    const outputs = new Map(names.map((name, i) => [name, item(arrays, i)]));
    return { start: this.start, count: this.count, outputs };
  }

  release(): void {
    this.#isReleased = true;
    this.#arena.release();
    for (const { buffer } of this.#staging.splice(0)) this.#session.buffers.release(buffer);
    this.#freeMemory?.();
  }
}

/** Bytes that a chunk holds on the device. */
function bytesOf({ buffers, dispatches, outputs }: ChunkPlan): number {
  const read = outputs.filter(({ resident }) => !resident);
  const all = [...buffers, ...read, { bytes: bytesOfParams(Math.min(dispatchesPerSubmit, dispatches.length)) }];
  return all.reduce((sum, { bytes }) => sum + sizeClass(bytes), 0);
}

/** Jobs all of whose kernels have been asked for, at the first chunk. */
const prepared = new WeakSet<Job>();

/** The kernels of a chunk; those of its rounds are known from the first two. */
function* kernelsOf({ dispatches, rounds, after = [] }: ChunkPlan, maxFlops: number): Generator<Kernel> {
  const planned = rounds ? [0, 1].flatMap((k) => rounds.next(k, rounds.particles, maxFlops).dispatches) : [];
  for (const { kernel } of [...dispatches, ...planned, ...after]) yield kernel;
}
