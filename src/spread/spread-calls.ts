import { PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import type { Histogram, MeanLogProb, Moments } from "../flow/reductions.ts";
import { type DoubleSamples, type LogProb, logProbResult, type Samples } from "../flow/results.ts";
import { type Check, type Checked, flag, functionThat } from "../options/schema.ts";
import {
  histogramCall,
  logProbCall,
  meanLogProbCall,
  momentsCall,
  type SpreadCall,
  type SpreadHistogramOptions,
  type SpreadLogProbOptions,
  type SpreadMomentOptions,
  type SpreadSampleOptions,
  type SummaryCall,
  sampleCall,
} from "./call.ts";
import { type CarriedFlow, carry } from "./carried-flow.ts";
import { Gathering, type Solved, solvedOf } from "./gather.ts";
import type { FinishedRange } from "./range-task.ts";
import { Replay } from "./range-work.ts";

/** How differences between workers are met. */
export interface AdapterOptions {
  /**
   * Whether a call fails when ranges come from adapters of different kinds, whose last bits may differ. Default false: the
   * result says in `adapters` which ones took part, and `onNotice` hears of the second one.
   */
  sameAdapter?: boolean;
  /** Hears what a person may want to know: a worker vanished, adapters differ. Default: `console.warn`. */
  onNotice?: (text: string) => void;
}

export const adapterFields: {
  readonly [name in keyof Required<AdapterOptions>]: {
    readonly check: Check<Required<AdapterOptions>[name]>;
    readonly fallback: Required<AdapterOptions>[name];
  };
} = {
  sameAdapter: { check: flag(), fallback: false },
  onNotice: {
    check: functionThat<(text: string) => void>("that takes a text"),
    fallback: (text: string) => console.warn(text),
  },
};

/** Ranges per worker that may be ahead of a consumer, who holds them up; */
const aheadOfConsumer = 2;
/** and of a result, which holds all of them in the end: those before a lost range do not keep the others from work. */
const aheadOfResult = 6;

/** Who computed a range. */
export interface ComputedBy {
  /** Name of the worker. */
  worker: string;
  /** Its adapter. */
  adapter: string;
}

/** The adapters that took part in a call: its bits are those of one device if there is one of them. */
export interface Adapters {
  adapters: string[];
}

/** The calls of a flow, cut into ranges of particles that workers compute. Whoever extends it says how ranges get to workers. */
export abstract class SpreadCalls {
  readonly #sameAdapter: boolean;
  readonly #onNotice: (text: string) => void;

  /** @internal */
  constructor({ sameAdapter, onNotice }: Checked<typeof adapterFields>) {
    this.#sameAdapter = sameAdapter;
    this.#onNotice = onNotice;
  }

  /**
   * @internal The ranges of a call in order; `aheadOfEach` times as many as there are workers may be under way or wait for their
   * turn, unless the call says how many.
   */
  protected abstract spread(flow: CarriedFlow, call: SpreadCall, aheadOfEach: number): AsyncGenerator<FinishedRange>;

  /**
   * {@link Flow.sampleStream} on the workers: ranges in order, no more under way than `ahead`, so a slow consumer holds the workers
   * up and memory is bounded here and there. An early end takes back what is not done.
   *
   * @throws PushforwardError `invalid-argument` for bad options; that of a range which failed for good, with the range and the worker
   * in its message; `device-lost` when the last thread or device of this machine has gone; `connection` when a cluster's Redis is
   * lost for half a minute.
   */
  sampleStream(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadSampleOptions & { output: "float64" },
  ): AsyncIterableIterator<DoubleSamples & ComputedBy & { start: number }>;
  sampleStream(
    flow: Flow | Uint8Array,
    count: number,
    options?: SpreadSampleOptions,
  ): AsyncIterableIterator<Samples & ComputedBy & { start: number }>;
  async *sampleStream(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadSampleOptions = {},
  ): AsyncIterableIterator<(Samples | DoubleSamples) & ComputedBy & { start: number }> {
    const carried = await carry("sampleStream", flow, options?.sde?.score);
    const call = sampleCall(carried.shape, "sampleStream", count, options);
    if (count === 0) return;
    for await (const { figures, arrays, start, count: particles, worker, adapter } of this.#spread(
      carried,
      call,
      aheadOfConsumer,
    ))
      yield { ...solvedOf(figures, arrays), start, count: particles, worker, adapter };
  }

  /** {@link Flow.sample} on the workers. */
  sample(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadSampleOptions & { output: "float64" },
  ): Promise<DoubleSamples & Adapters>;
  sample(flow: Flow | Uint8Array, count: number, options?: SpreadSampleOptions): Promise<Samples & Adapters>;
  async sample(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadSampleOptions = {},
  ): Promise<(Samples | DoubleSamples) & Adapters> {
    const carried = await carry("sample", flow, options?.sde?.score);
    const { result, adapters } = await this.#gather(carried, sampleCall(carried.shape, "sample", count, options));
    return { ...result, count, adapters };
  }

  /** {@link Flow.logProb} on the workers: log p of the rows of `x` [n, dim], in nats and data units. */
  async logProb(
    flow: Flow | Uint8Array,
    x: Float32Array | Float64Array,
    options: SpreadLogProbOptions = {},
  ): Promise<LogProb & Adapters> {
    const carried = await carry("logProb", flow);
    const { result, adapters } = await this.#gather(carried, logProbCall(carried.shape, "logProb", x, options));
    return { ...logProbResult(result), adapters };
  }

  /** {@link Flow.moments} on the workers: only sums travel. */
  async moments(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadMomentOptions = {},
  ): Promise<Moments & Adapters> {
    const carried = await carry("moments", flow, options?.sde?.score);
    return this.#summarise(carried, momentsCall(carried.shape, count, options));
  }

  /** {@link Flow.histogram} on the workers: only counts travel. */
  async histogram(
    flow: Flow | Uint8Array,
    count: number,
    options: SpreadHistogramOptions,
  ): Promise<Histogram & Adapters> {
    const carried = await carry("histogram", flow, options?.sde?.score);
    return this.#summarise(carried, histogramCall(carried.shape, count, options));
  }

  /** {@link Flow.meanLogProb} of the rows of `x` on the workers: rows go there, sums come back. */
  async meanLogProb(
    flow: Flow | Uint8Array,
    x: Float32Array | Float64Array,
    options: SpreadLogProbOptions = {},
  ): Promise<MeanLogProb & Adapters> {
    const carried = await carry("meanLogProb", flow);
    return this.#summarise(carried, meanLogProbCall(carried.shape, x, options));
  }

  async #summarise<T>(carried: CarriedFlow, { call, summary }: SummaryCall<T>): Promise<T & Adapters> {
    const replay = new Replay(summary.reduction);
    const adapters = new Set<string>();
    for await (const { figures, arrays, adapter } of this.#spread(carried, call, aheadOfResult)) {
      replay.take(figures, arrays);
      adapters.add(adapter);
    }
    return { ...summary.result(), adapters: [...adapters] };
  }

  async #gather(carried: CarriedFlow, call: SpreadCall): Promise<{ result: Solved; adapters: string[] }> {
    const gathering = new Gathering(call.total, call.stages);
    const adapters = new Set<string>();
    for await (const { start, count, figures, arrays, adapter } of this.#spread(carried, call, aheadOfResult)) {
      gathering.take(start, count, solvedOf(figures, arrays));
      adapters.add(adapter);
    }
    return { result: gathering.result(), adapters: [...adapters] };
  }

  async *#spread(carried: CarriedFlow, call: SpreadCall, aheadOfEach: number): AsyncGenerator<FinishedRange> {
    const adapters = new Set<string>();
    for await (const range of this.spread(carried, call, aheadOfEach)) {
      this.#checkAdapter(adapters, range);
      yield range;
    }
  }

  #checkAdapter(adapters: Set<string>, { adapter, worker }: FinishedRange): void {
    if (adapters.has(adapter)) return;
    const [first] = adapters;
    adapters.add(adapter);
    if (first === undefined) return;
    const text = `worker ${worker} has the adapter "${adapter}", others have "${first}": the last bits of their results may differ`;
    if (this.#sameAdapter)
      throw new PushforwardError("unsupported", `${text}; stop one kind of workers, or leave sameAdapter out`);
    this.#onNotice(text);
  }
}
