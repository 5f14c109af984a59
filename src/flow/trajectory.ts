import type { Transform } from "../data/transform.ts";
import type { Conditions, Precision } from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import type { ChunkPlan } from "../schedule/job.ts";
import type { DivergencePlan } from "./divergence.ts";
import type { StochasticOptions } from "./options.ts";
import type { Normalization, SourceSpec } from "./source.ts";

/** Which log-probability a solve carries. */
export type LogProbMode =
  /** None. */
  | { readonly kind: "none" }
  /** Known at the start: given per particle, or that of the source. Ends as log p at the end of the solve. */
  | { readonly kind: "forward"; readonly start: Float32Array | GPUBuffer | "source" }
  /** The solve ends at the source: log p at its start = log p_0(end) − integral. */
  | { readonly kind: "backward" };

/** Where the particles come from: rows of the caller, or draws from the source. The first particle has index `first`, default 0. */
export type Start =
  | { readonly rows: Float32Array | GPUBuffer; readonly first?: number }
  | { readonly seed: number; readonly first: number };

/** What is brought back of a chunk when only figures of it are wanted: planned on its outputs, which stay on the device; `status` names
 * how each particle's solve ended, where steps are adaptive. */
export type Reduce = (first: number, count: number, maxFlops: number, status: string | undefined) => ChunkPlan;

/** Everything about one solve of the flow for many particles. */
export interface TrajectoryRequest {
  readonly what: string;
  readonly count: number;
  readonly source: SourceSpec;
  readonly grid: TimeGrid;
  readonly start: Start;
  readonly save?: readonly number[] | undefined;
  readonly logProb: LogProbMode;
  readonly divergence: DivergencePlan;
  readonly seed: number;
  readonly conditions: Conditions;
  /** Data units on the way in, on the way out. */
  readonly normalization: Normalization | undefined;
  readonly transform?: Transform | undefined;
  readonly unitsIn: "flow" | "data";
  /** `"data in f64"`: rows come back in the flow's own space, for the host to put them in data units; log p is that of these. */
  readonly unitsOut: "flow" | "data" | "data in f64";
  readonly wantStart: boolean;
  readonly precision: Precision;
  /** Noise along the paths. */
  readonly sde?: StochasticOptions | undefined;
  /** Brings back figures of the outputs `x` and `logProb` instead of the outputs. */
  readonly reduce?: Reduce | undefined;
  /** Buffers on the device for whole results, by output name; absent outputs go to the host. */
  readonly resident?: ReadonlyMap<string, GPUBuffer>;
}

/** Velocity evaluations per particle of a solve on a fixed grid. */
export function functionEvaluations({ tableau, times }: TimeGrid): number {
  return (times.length - 1) * tableau.b.length;
}
