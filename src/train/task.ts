import type { DataRows } from "../data/units.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { Pacer } from "../schedule/pacer.ts";
import type { SignOfLife } from "../schedule/sign-of-life.ts";
import type { GradientBackward } from "./backward.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { ValidationOptions } from "./options.ts";

/** What is told of a training run now and then. */
export interface TrainingStep {
  /** Optimiser steps done. */
  step: number;
  /** Mean of the loss over the steps since the last one told. */
  loss: number;
  learningRate: number;
  samplesPerSecond: number;
  /**
   * With optimal-transport pairs: the mean of |x_1 − x_0|² over the groups of pairs that the step drew from, and what it would be for
   * independent ones, in the flow's own space. By Sinkhorn's algorithm also how far the plans are from the marginals that they should
   * have: Σ_j |Σ_i plan_ij − 1/n|, 0 for the exact one.
   */
  transportCost?: { coupled: number; independent: number; marginalError?: number };
  /**
   * With the option `validation`, where it was due: the loss of that data with the weights that the training would end with now,
   * their moving average where there is one. Flow matching: over draws that stay the same; maximum likelihood: the mean over all
   * rows, in nats, NaN when log p of one is not finite.
   */
  validationLoss?: number;
  /** Beside that: the step with the smallest one so far. */
  best?: { step: number; validationLoss: number };
}

/** How the loss of the validation data is found. */
export interface Validator {
  /** With the weights in a buffer of parameters; training waits for it. */
  loss(weights: GPUBuffer, pacer: Pacer, sign: SignOfLife): Promise<number>;
  /** What it submits for itself, batches apart. */
  dispatches?(maxFlops: number): Dispatch[];
  release(): void;
}

/** The part of a training that is its own: how a step's loss and gradient are found. */
export interface TrainingTask<B extends GradientBackward = GradientBackward> {
  readonly what: string;
  /** What is trained on, in data units. */
  readonly data: DataRows;
  readonly backward: B;
  readonly capacity: number;
  /** Buffers of the whole run, {@link gradientBuffers} included. */
  readonly buffers: readonly PlannedBuffer[];
  /** Whether the dispatches of a batch are all that it needs: nothing is uploaded, and no table changes. */
  readonly isDrawn?: boolean;
  /** Makes the batch of a step ready: what must be uploaded or drawn for it. */
  batch(step: number, arena: Arena, maxFlops: number): Dispatch[] | Promise<Dispatch[]>;
  /** From the batch to "partials", and the batch's loss added to "loss". The same in every step. */
  gradient(maxFlops: number): Dispatch[];
  /** More figures of a step, counted from 0, whose batch was the last that was made. */
  figures?(step: number, arena: Arena, pacer: Pacer): Promise<Partial<TrainingStep>>;
  /** What decides the bits of the run. */
  fingerprint(): Promise<Fingerprint>;
  validator(validation: ValidationOptions): Validator;
}
