import type { Numeric } from "../../shaders/interface.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { Layout } from "../velocity/parameters.ts";

/** What |u|² and each |∂u/∂x v_s|² of a pass are worth, beside what it is the gradient of; the mean over the batch is taken. */
export interface Penalty {
  readonly energy: Numeric;
  readonly jacobian: Numeric;
}

/** A batch of `count` particles, padded to `capacity`. */
export interface Batch {
  readonly capacity: number;
  readonly count: number;
  readonly maxFlops: number;
}

/** Tangents of a divergence: unit vectors, or rows of the buffer `probes`, from number `first` on; w_s = δ v_s. */
export interface TraceTangents {
  readonly count: number;
  readonly first: number;
  readonly probes?: string | undefined;
  /** δ: what a unit of Σ_s v_s·(∂u/∂x v_s) is worth. */
  readonly weight: Numeric;
}

/** Tangents of each particle's own: v_s in the buffer `matrix` [count][dim]. */
export interface MatrixTangents {
  readonly count: number;
  readonly matrix: string;
}

/** The most tangents that the passes of a training have. */
export interface MostTangents {
  readonly count: number;
  readonly kind: "trace" | "matrix";
}

/** Tangents v_s that go with a pass, of which each has a cotangent w_s. */
export type PassTangents = TraceTangents | MatrixTangents;

/**
 * Whether the forward solve keeps the velocity of the first of two stages of every step, as it does the state. Where there are more, as many
 * kept velocities would outweigh the states: they are found again. So they are where probes, classes and context take all storage buffers
 * that a kernel has everywhere.
 */
export const keepsFirstStage = (stages: number, hasProbes: boolean, { classes, context }: TrainableVelocity): boolean =>
  stages === 2 && !(hasProbes && classes > 0 && context > 0);

/** How a gradient is found on the device. It goes to "partials", whose copies (`partialStride` of shaders/optimizer.ts) are to be added in order. */
export interface GradientBackward {
  /** Packings of the weights that the passes read, made anew after each optimiser step. */
  readonly packings: readonly { readonly name: string; readonly layout: Layout }[];
  readonly copies: (capacity: number) => number;
  /** Scratch, for passes of up to so many tangents. */
  buffers(capacity: number, tangents: MostTangents): PlannedBuffer[];
}

/** How the gradient of flow matching's loss is found. Input rows are in "h0" [inputs][capacity]. */
export interface MatchingBackward extends GradientBackward {
  /** Flow matching: "h0" and "target" → "squares" per sample, "partials"; with weights in a row behind the targets where it is `weighted`. */
  residual(batch: Batch & { readonly weighted?: boolean }): Dispatch[];
  /** The same without the gradient: "squares" alone. */
  squares(batch: Batch & { readonly weighted?: boolean }): Dispatch[];
}

/** A pass of {@link LikelihoodBackward}, by the buffers that it reads and fills. */
export interface Pass {
  readonly cotangent: string;
  readonly xbar: string;
  readonly tangents: PassTangents;
  /** Whether its gradient by the weights begins that in "partials". */
  readonly begin: boolean;
  readonly penalty?: Penalty | undefined;
}

/** Passes of one kind whose gradients by the weights are found together: in each buffer that they share they have parts of their own. */
export interface KeptPasses {
  readonly cotangent: string;
  readonly tangents: Pick<TraceTangents, "count"> | MatrixTangents;
  readonly begin: boolean;
  /** The number of the first one's part, and how many there are. */
  readonly first: number;
  readonly passes: number;
  /** Bytes of a part of such a buffer. */
  readonly parts: ReadonlyMap<string, number>;
}

/** How the gradients by the weights of several passes are found together, where a dispatch is dear. Penalties have no part in it. */
export interface LaterWeights {
  /** What a pass fills for the gradients by the weights, beside its inputs and cotangents. */
  buffers(capacity: number, tangents: MostTangents): PlannedBuffer[];
  /** What all passes read. */
  tables(tangents: MostTangents): PlannedBuffer[];
  /**
   * The forward part of a pass, which fills what its reverse reads: "h0" → the velocity, in rows of the buffer `output`. What is made of the
   * tangents, [count][dim], goes behind it where they are a matrix, else to "jv", with the tangents themselves in "drows".
   */
  forward(batch: Batch, o: { readonly output: string; readonly tangents: PassTangents }): Dispatch[];
  /** The rest of a pass, without the gradients by the weights. */
  reverse(batch: Batch, o: Omit<Pass, "begin" | "penalty">): Dispatch[];
  weights(batch: Batch, o: KeptPasses): Dispatch[];
}

/** How the gradient of whatever is made of a network's velocity and its tangents is found, for likelihoods. */
export interface LikelihoodBackward extends GradientBackward {
  /** Most tangents of a trace in one pass; a matrix goes as a whole. */
  readonly mostTangents: number;
  /** "h0" → the velocity, in rows of the buffer `output`, and ∂u/∂x v_s behind it, [count][dim]. */
  velocity(batch: Batch, output: string, tangents?: MatrixTangents): Dispatch[];
  /**
   * The gradient of κ·u + Σ_s w_s·(∂u/∂x v_s): with respect to x into `xbar`, to the weights added to "partials" or begun there.
   * A matrix of tangents has its w_s behind κ, [count][dim], and (∂u/∂x)ᵀ w_s goes behind the gradient by x.
   * The buffer of `xbar` has as many rows as the inputs, and those behind the gradient by x are undefined.
   * With a penalty also that of its mean over the batch, which is added per sample to the last row of the cotangent's buffer, behind
   * those; for a matrix it has no part of the Jacobian.
   */
  pass(batch: Batch, o: Pass): Dispatch[];
  readonly later?: LaterWeights;
}

/** Both. */
export interface Backward extends MatchingBackward, LikelihoodBackward {}
