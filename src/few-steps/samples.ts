import { repeated } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { solveFields } from "../flow/fields.ts";
import type { Flow } from "../flow/flow.ts";
import { checkFlow } from "../flow/given-flow.ts";
import type { SampleOptions } from "../flow/options.ts";
import { conditioning } from "../flow/shape.ts";
import { must } from "../must.ts";
import { type Check, checked, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";

/** Options of pairs that a flow makes: those of `Flow.sample`. Labels and context are arrays, and go with the pairs. */
export interface PairOptions
  extends Pick<
    SampleOptions,
    "solver" | "seed" | "guidance" | "guidanceInterval" | "precision" | "chunkSize" | "signal" | "onProgress"
  > {
  /** Class of each pair, [count], or one for all. */
  labels?: Uint32Array;
  /** Context of each pair, [count, context], or one row for all. */
  context?: Float32Array;
}

/** Samples of a flow with where they started, in f64, and what each was asked for by. */
interface FlowSamples {
  /** [count, dim], in data units. */
  readonly x: Float64Array;
  /** [times, count, dim], in data units. */
  readonly saved: Float64Array | undefined;
  /** [count, dim], in the flow's own space. */
  readonly x0: Float32Array;
  readonly conditions: { labels?: Uint32Array; context?: Float32Array };
}

/** An array, since a training is to have it; a GPUBuffer is none. */
const array =
  <A>(kind: new (length: number) => A & ArrayBufferView): Check<A> =>
  (name, value) => {
    if (value instanceof kind) return value;
    throw invalid(`${name} is ${show(value)}, but it goes with the pairs: pass a ${kind.name}`);
  };

const { solver, seed, guidance, guidanceInterval, precision, chunkSize, signal, onProgress } = solveFields;

const pairFields = {
  solver: { check: solver.check },
  seed,
  guidance,
  guidanceInterval,
  precision,
  chunkSize,
  signal,
  onProgress,
  labels: { check: array(Uint32Array) },
  context: { check: array(Float32Array) },
} satisfies Schema<PairOptions>;

/** Draws samples in the name of `what`, all of which are good. */
export async function samplesOf(
  what: string,
  flow: Flow,
  count: number,
  given: PairOptions,
  saveAt?: number[],
): Promise<FlowSamples> {
  checkFlow(what, flow);
  const options: Omit<SampleOptions, "output"> = checked(what, pairFields, given);
  const {
    x,
    x0,
    saved,
    nonFinite,
    unfinished = 0,
  } = await flow.sample(count, {
    ...options,
    ...(saveAt && { saveAt }),
    output: "float64",
  });
  if (nonFinite + unfinished > 0)
    throw invalid(
      `${what}: of ${count} samples ${nonFinite} are not finite and ${unfinished} did not end: pass a finer solver, or look at the flow`,
    );
  const { labels, context } = given;
  const widths = conditioning(flow);
  // one label or row of context may be that of all samples; a training takes those of each pair
  const ofEach = <A extends Uint32Array | Float32Array>(values: A, width: number): A =>
    repeated(values, values.length === width ? count : 1);
  const conditions = {
    ...(labels && { labels: ofEach(labels, 1) }),
    ...(context && { context: ofEach(context, widths.context) }),
  };
  return { x, saved, x0: must(x0, "where samples start"), conditions };
}
