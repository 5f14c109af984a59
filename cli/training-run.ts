import type { Flow } from "pushforward";
import type { checkpointOptions } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { startProgress } from "./report.ts";
import type { TrainOptions } from "./training-options.ts";
import { withColumnNames } from "./wording.ts";

interface TrainingSummary {
  step: number;
  /** Mean over the last tenth of the logged losses, since one batch's loss is noisy; none when no step was left to do. */
  loss?: number;
  /** Of the held-out rows, with the weights that are saved. */
  validationLoss?: number;
  seconds: number;
}

/** Trains until the steps are done, or Ctrl-C stops it. */
export async function runTraining(
  context: Context,
  flow: Flow,
  columns: readonly string[],
  data: Float64Array,
  held: Float64Array,
  o: TrainOptions,
  checkpoints: Awaited<ReturnType<typeof checkpointOptions>>,
): Promise<TrainingSummary> {
  const { trainFlowMatching } = await import("pushforward");
  const progress = startProgress(context, "training", o.steps);
  const started = performance.now();
  const losses: number[] = [];
  let step = 0;
  let validationLoss: number | undefined;
  // Often enough that Ctrl-C can say how far it came.
  const logEvery = Math.min(50, Math.max(1, Math.floor(o.steps / 200)));
  try {
    for await (const report of trainFlowMatching(flow, data, {
      steps: o.steps,
      batchSize: o.batchSize,
      learningRate: { peak: o.learningRate, schedule: "cosine", warmup: Math.round(o.warmup * o.steps) },
      coupling: o.coupling,
      ...(o.ema > 0 && { ema: o.ema }),
      ...(o.gradientClip !== undefined && { gradientClip: o.gradientClip }),
      seed: o.seed,
      logEvery,
      ...(held.length > 0 && {
        validation: { data: held, every: 10 * logEvery, samples: Math.min(4096, held.length / flow.dim) },
      }),
      ...checkpoints,
      signal: context.signal,
    })) {
      step = report.step;
      losses.push(report.loss);
      validationLoss = report.validationLoss ?? validationLoss;
      const onHeldOut = validationLoss === undefined ? "" : ` · held-out ${lossOf(validationLoss)}`;
      progress.update(step, `loss ${report.loss.toFixed(4)}${onHeldOut}`);
    }
    // A checkpoint may be one of the last step: then there was none left to tell of.
    step = o.steps;
  } catch (error) {
    // Ctrl-C: the caller saves what was learned. Everything else is a fault.
    if (!context.signal.aborted) throw withColumnNames(error, columns);
  } finally {
    progress.stop();
  }
  const last = losses.slice(-Math.ceil(losses.length / 10));
  return {
    step,
    ...(last.length > 0 && { loss: last.reduce((sum, loss) => sum + loss, 0) / last.length }),
    ...(validationLoss !== undefined && { validationLoss }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** A loss of a few rows far away may be beyond f32. */
function lossOf(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : "not finite (some are too far from the others)";
}

/** For the line that tells of the saved flow. */
export function lossText({ loss, validationLoss }: TrainingSummary): string {
  if (loss === undefined) return "";
  const onHeldOut = validationLoss === undefined ? "" : `, of held-out rows ${lossOf(validationLoss)},`;
  return `loss ${loss.toFixed(4)}${onHeldOut} after `;
}
