import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { Penalty } from "../kernels/narrow-gradient.ts";
import type { Layout } from "../velocity/parameters.ts";

/** A batch of `count` particles, padded to `capacity`. */
export interface Batch {
  readonly capacity: number;
  readonly count: number;
  readonly maxFlops: number;
}

/** Tangents that go with a pass: unit vectors, or rows of the buffer `probes`, from number `first` on. */
export interface PassTangents {
  readonly count: number;
  readonly first: number;
  readonly probes?: string | undefined;
  /** δ: what a unit of Σ_s v_s·(∂u/∂x v_s) is worth. */
  readonly weight: number;
}

/**
 * How a network's gradient is found on the device: one fused kernel for narrow networks, a kernel per layer for the rest.
 * Input rows are in "h0" [inputs][capacity]; gradients go to "partials" [copies][parameters], to be added in order.
 */
export interface Backward {
  /** Packings of the weights that the passes read, made anew after each optimiser step. */
  readonly packings: readonly { readonly name: string; readonly layout: Layout }[];
  readonly copies: (capacity: number) => number;
  /** Most tangents of one pass. */
  readonly mostTangents: number;
  /** Scratch, for passes of up to `tangents`. */
  buffers(capacity: number, tangents: number): PlannedBuffer[];
  /** Flow matching: "h0" and "target" → "squares" per sample, "partials". */
  residual(batch: Batch): Dispatch[];
  /** "h0" → the velocity, in rows of the buffer `output`. */
  velocity(batch: Batch, output: string): Dispatch[];
  /**
   * The gradient of κ·u + δ Σ_s v_s·(∂u/∂x v_s): with respect to x into `xbar`, to the weights added to "partials" or begun there.
   * With a penalty also that of its mean over the batch, which is added per sample to row `dim` of the cotangent's buffer.
   */
  pass(
    batch: Batch,
    o: { cotangent: string; xbar: string; tangents: PassTangents; begin: boolean; penalty?: Penalty | undefined },
  ): Dispatch[];
}
