import type { DivergenceText, FusedField } from "../../shaders/field.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Integrator } from "../kernels/fused.ts";
import type { MlpVelocity } from "../network/mlp.ts";

/** A tiling with the family of kernels that it belongs to. */
export interface Tuned {
  readonly tiling: Tiling;
  readonly integrator: Integrator;
}

/** One kernel whose tiling is to be chosen. */
export interface Question {
  readonly velocity: MlpVelocity;
  readonly field: Extract<FusedField, { kind: "mlp" }>;
  readonly divergence: DivergenceText;
  readonly stages: number;
  readonly freeStages: boolean;
  /** A schedule of such a solve; the time of its first step is what kernels are timed at. */
  readonly schedule: Float32Array;
  readonly flopsPerStep: number;
  /** The choice from the table. */
  readonly fixed: Tiling;
}

/** What is loaded when there is something to tune (on-demand.ts). */
export interface LoadedTuner {
  /** Looks up what is kept for a network. */
  ready(field: Question["field"]): Promise<unknown>;
  choose(question: Question): Tuned;
}
