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
}

/** What a request needs to know of a flow, which may be on no device here. */
export interface FlowShape {
  readonly dim: number;
  readonly velocitySpec: FieldVelocity;
  readonly source: SourceSpec;
  readonly normalization: Normalization | undefined;
  assertAlive(): void;
}

/** What work on a device needs of a flow: the class {@link Flow} is one. */
export interface FlowOnDevice extends FlowShape {
  readonly gpu: Gpu;
  /** How the field is planned on the device, for solves and all evaluations but Jᵀ·w. */
  forwardEngine(precision?: Precision): Promise<Engine>;
  /** How Jᵀ·w is planned. */
  reverseEngine(): Promise<Engine>;
}

/** Class and context inputs of a flow's field. */
export function conditioning({ velocitySpec }: FlowShape): { classes: number; context: number } {
  return velocitySpec.kind === "wgsl" ? { classes: 0, context: 0 } : velocitySpec;
}
