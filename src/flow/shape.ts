import type { Transform } from "../data/transform.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../io/safetensors.ts";
import type { Engine, Precision } from "../ode/engine.ts";
import type { FieldVelocity } from "../velocity/field.ts";
import type { Normalization, Source, SourceSpec } from "./source.ts";

export interface FlowOptions {
  velocity: FieldVelocity;
  /** Seed of the initial weights. Default 0. */
  seed?: number;
  /** Initial weights under PyTorch's names, as arrays or as {@link decodeSafetensors} gives them; default: drawn from the seed. */
  weights?: Record<string, Float32Array | Tensor>;
  /** Default N(0, I). */
  source?: Source;
  /** The affine map to data units, as {@link fitNormalization} makes it. */
  normalization?: Normalization;
  /**
   * Where the data lie, if not in all of R^dim: for each axis an interval, the positive numbers, a circle, or null, or for several a simplex.
   * Data are brought into R^dim first, then centred and scaled by the normalization, which is that of the rows of `unconstrain` (`pushforward/transforms`). Log p
   * stays that of the data, with the transform's log-determinant in it; on a simplex it is the density of the axes that are given.
   *
   * @example
   * import { Flow, mlp, openGpu } from "pushforward";
   * const gpu = await openGpu();
   * const transform = [{ kind: "interval", low: 0, high: 1 } as const, { kind: "positive" } as const];
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }), transform });
   * const { x } = await flow.sample(1000); // x[0] is between 0 and 1, x[1] above 0
   * gpu.dispose();
   */
  transform?: Transform;
}

/** What a request needs to know of a flow, which may be on no device here. */
export interface FlowShape {
  readonly dim: number;
  readonly velocitySpec: FieldVelocity;
  readonly source: SourceSpec;
  readonly normalization: Normalization | undefined;
  readonly transform?: Transform | undefined;
  assertAlive(): void;
}

/** What work on a device needs of a flow: the class {@link Flow} is one. */
export interface FlowOnDevice extends FlowShape {
  readonly gpu: Gpu;
  /** How the field is planned on the device, for solves and all evaluations but Jᵀ·w, or for a solve without a divergence of so many evaluations. */
  forwardEngine(precision?: Precision, evaluations?: number): Promise<Engine>;
  /** How Jᵀ·w is planned. */
  reverseEngine(): Promise<Engine>;
}

/** Class and context inputs of a flow's field. */
export function conditioning({ velocitySpec }: FlowShape): { classes: number; context: number } {
  return velocitySpec.kind === "wgsl" ? { classes: 0, context: 0 } : velocitySpec;
}
