import type { DataRows } from "../data/units.ts";
import { PushforwardError } from "../errors.ts";
import { type Reduction, reduceSolve } from "../flow/block-reductions.ts";
import { collect } from "../flow/collect.ts";
import type { HistogramOptions, LogProbOptions, MomentOptions, SampleOptions } from "../flow/options.ts";
import { histogramSummary, meanLogProbSummary, momentsSummary } from "../flow/reductions.ts";
import { logProbRequest, sampleRequest } from "../flow/requests.ts";
import type { TrajectoryRequest } from "../flow/trajectory.ts";
import { must } from "../must.ts";
import type { RunOptions } from "../schedule/job.ts";
import { fieldsOf } from "./call.ts";
import type { Compiling } from "./call-progress.ts";
import type { LoadedFlow } from "./carried-flow.ts";
import { arraysOf, figuresOf } from "./gather.ts";
import { type CarriedNoise, noiseOf } from "./noise.ts";
import type { Arrays } from "./parcel.ts";
import { checkTask, type RangeFigures, type RangeTask } from "./range-task.ts";
import { optionsOfRange } from "./travelling.ts";

/** Computes a range on a worker's flow. Its particles have the indices that they have in the whole call. */
export async function computeRange(
  { flow, score }: LoadedFlow,
  task: RangeTask,
  input: Arrays,
  signal: AbortSignal,
  waits?: (compiling: Compiling) => void,
): Promise<{ figures: RangeFigures; arrays: Arrays }> {
  checkTask(task, input);
  const { what, start, count, options } = task;
  // the caller has checked them by the types of its call
  const given = optionsOfRange(fieldsOf[what], options, input);
  const own: unknown = given.sde ? { ...given, sde: noiseOf(given.sde as CarriedNoise, score) } : given;
  const rows = () => must(input.x, "x of a range") as DataRows;
  const running: RunOptions = {
    signal,
    ...(waits && { onProgress: ({ compiling }) => compiling && waits(compiling) }),
  };
  const solve = async (request: TrajectoryRequest) => {
    const result = await collect(flow, request, running);
    return { figures: figuresOf(result), arrays: arraysOf(result) };
  };
  const reduce = async (summary: { request: TrajectoryRequest; reduction: Reduction }) => {
    const record = new Recorder(summary.reduction);
    await reduceSolve(flow, summary.request, record, running);
    return { figures: { block: record.block, parts: record.parts }, arrays: record.arrays };
  };
  switch (what) {
    case "sample":
      return solve(sampleRequest(flow, what, count, own as SampleOptions, start));
    case "logProb":
      return solve(withFirst(logProbRequest(flow, what, rows(), own as LogProbOptions), start));
    case "moments":
      return reduce(momentsSummary(flow, count, own as MomentOptions, start));
    case "histogram":
      return reduce(histogramSummary(flow, count, own as HistogramOptions, start));
    case "meanLogProb":
      return reduce(meanLogProbSummary(flow, rows(), own as LogProbOptions, start));
  }
}

function withFirst(request: TrajectoryRequest, first: number): TrajectoryRequest {
  return { ...request, start: { ...request.start, first } };
}

/** A reduction that keeps what comes back of each chunk instead of summing it up: that is done in the order of all particles. */
class Recorder implements Reduction {
  block = 0;
  parts = 0;
  readonly arrays: Record<string, Uint32Array> = {};
  readonly #inner: Reduction;

  constructor(inner: Reduction) {
    this.#inner = inner;
  }

  get bytesPerParticle(): number {
    return this.#inner.bytesPerParticle;
  }

  plan(block: number) {
    this.block = block;
    return this.#inner.plan(block);
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    for (const [name, bytes] of figures) this.arrays[`${this.parts}/${name}`] = new Uint32Array(bytes);
    this.parts++;
  }
}

/** Sums up what the recorders of ranges have kept; ranges come in order. */
export class Replay {
  readonly #reduction: Reduction;
  #block: number | undefined;

  constructor(reduction: Reduction) {
    this.#reduction = reduction;
  }

  take({ block, parts = 0 }: RangeFigures, arrays: Arrays): void {
    this.#block ??= block;
    if (block !== this.#block)
      throw new PushforwardError(
        "unsupported",
        `a worker sums up ${block} particles at a time and another one ${this.#block}, because one has little memory: their sums differ in the last bits, so start all workers with as much`,
      );
    for (let part = 0; part < parts; part++) {
      const prefix = `${part}/`;
      const own = Object.entries(arrays).filter(([name]) => name.startsWith(prefix));
      const figures = own.map(([name, { buffer, byteOffset, byteLength }]) => {
        return [name.slice(prefix.length), buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer] as const;
      });
      this.#reduction.take(new Map(figures));
    }
  }
}
