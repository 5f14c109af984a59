/** What the validation data have said of a training so far. */
export interface Best {
  /** The step of the smallest loss, and that loss. */
  readonly step: number;
  readonly validationLoss: number;
  /** The step that was judged last, and how many have been since the best one. */
  readonly judged: number;
  readonly since: number;
  /** What the training would end with at the best step, where it shall end with that. */
  readonly weights: Float32Array | undefined;
}

/**
 * What is known after a step's loss, NaN being worse than every number; `weights` reads those of the step. A step that was judged before
 * a device was lost is not judged again.
 */
export async function judged(
  best: Best | undefined,
  step: number,
  validationLoss: number,
  weights: () => Promise<Float32Array | undefined>,
): Promise<Best> {
  if (best && best.judged >= step) return best;
  const isWorse = best && !(validationLoss < best.validationLoss) && !Number.isNaN(best.validationLoss);
  if (isWorse) return { ...best, judged: step, since: best.since + 1 };
  return { step, validationLoss, judged: step, since: 0, weights: await weights() };
}
