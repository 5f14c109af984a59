import type { IntegrateShape } from "../../shaders/integrate.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Integrator } from "../kernels/fused.ts";
import type { Network } from "../network/network.ts";
import type { Layout } from "../velocity/parameters.ts";
import type { candidateTilings } from "./candidates.ts";

/** One kernel whose tiling is to be chosen. */
export interface Question {
  /** Tells its network from others, in other processes, too. */
  readonly key: string;
  readonly network: Network;
  readonly shape: Omit<IntegrateShape, "tiling">;
  readonly integrator: Integrator;
  /** A schedule of such a solve; the time of its first step is what kernels are timed at. */
  readonly schedule: Float32Array;
  readonly flopsPerStep: number;
  /** The choice from the table. */
  readonly fixed: Tiling;
  /** That one first, then others, in the order in which they are tried; those of an mlp are what is handed over, which only tuners need. */
  candidates(ofMlp: typeof candidateTilings): Tiling[];
  weightsName(tiling: Tiling): string;
  layout(tiling: Tiling): Layout;
  /** Buffers beside the state, the schedule, the probes and the weights, by the name that the plan has for them: floats per particle. */
  readonly more: Readonly<Partial<Record<"offsets" | "labels" | "context" | "table", number>>>;
}

/** What is loaded when there is something to tune (on-demand.ts). */
export interface LoadedTuner {
  /** Looks up what is kept for a network. */
  ready(key: string): Promise<unknown>;
  choose(question: Question): Tiling;
}
