import type { Flow } from "pushforward";
import type { checkpointOptions } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { flopsOfTraining, flopsText } from "./cost.ts";
import { type Rows, trainingOf } from "./objective.ts";
import { duration, startProgress } from "./report.ts";
import type { TrainOptions } from "./training-options.ts";
import { withColumnNames } from "./wording.ts";

interface TrainingSummary {
  step: number;
  /** Mean over the last tenth of the logged losses, since one batch's loss is noisy; none when no step was left to do. */
  loss?: number;
  /** Of the held-out rows, with the weights that are saved. */
  validationLoss?: number;
  /** The step whose weights are saved, with --keep-best. */
  bestStep?: number;
  /** Mean |x_1 − x_0|² of the pairs, and of independent ones. */
  transportCost?: { coupled: number; independent: number };
  seconds: number;
}

/** Trains until the steps are done, or Ctrl-C stops it. */
export async function runTraining(
  context: Context,
  flow: Flow,
  columns: readonly string[],
  rows: Rows,
  held: Rows | undefined,
  o: TrainOptions,
  checkpoints: Awaited<ReturnType<typeof checkpointOptions>>,
): Promise<TrainingSummary> {
  const progress = startProgress(context, "training", o.steps);
  const started = performance.now();
  const losses: number[] = [];
  const found: Pick<TrainingSummary, "validationLoss" | "bestStep" | "transportCost"> = {};
  let step = 0;
  const estimate = new Estimate(context, flow, o);
  // Often enough that Ctrl-C can say how far it came.
  const logEvery = Math.min(50, Math.max(1, Math.floor(o.steps / 200)));
  try {
    for await (const report of await trainingOf(flow, rows, held, o, {
      logEvery,
      ...checkpoints,
      signal: context.signal,
    })) {
      step = report.step;
      losses.push(report.loss);
      const { validationLoss, best, transportCost } = report;
      Object.assign(found, {
        ...(validationLoss !== undefined && { validationLoss }),
        ...(o.keepBest && best && { bestStep: best.step, validationLoss: best.validationLoss }),
        ...(transportCost && { transportCost }),
      });
      estimate.tell(step);
      const onHeldOut = found.validationLoss === undefined ? "" : ` · held-out ${lossOf(found.validationLoss)}`;
      progress.update(step, `loss ${report.loss.toFixed(4)}${onHeldOut}`);
    }
    // A checkpoint may be one of the last step: then there was none left to tell of.
    if (step === 0) step = o.steps;
    else if (step < o.steps && o.patience !== undefined && !context.signal.aborted)
      context.stderr.write(
        `the loss of held-out rows has not become smaller ${o.patience} times: ended at step ${step}\n`,
      );
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
    ...found,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Says once how long a training will take, by its first steps: what comes before them is compiled once. */
class Estimate {
  readonly #context: Context;
  readonly #o: TrainOptions;
  readonly #flops: number;
  #first: { step: number; at: number } | undefined;
  #isTold = false;

  constructor(context: Context, { velocitySpec }: Flow, o: TrainOptions) {
    this.#context = context;
    this.#o = o;
    this.#flops = velocitySpec.kind === "wgsl" ? 0 : flopsOfTraining(velocitySpec, o);
  }

  tell(step: number): void {
    const now = performance.now();
    const first = this.#first;
    if (!first) this.#first = { step, at: now };
    else if (!this.#isTold && now - first.at > 2000) {
      this.#isTold = true;
      const { steps } = this.#o;
      const perSecond = (step - first.step) / ((now - first.at) / 1000);
      const seconds = (steps - step) / perSecond;
      const rate = `${perSecond.toPrecision(3)} steps, ${flopsText((perSecond * this.#flops) / steps)} per second`;
      // a bar tells the time by itself, and what is soon over needs no estimate
      if (seconds > 10)
        this.#context.stderr.write(`about ${duration(seconds)} left at the rate of the first steps (${rate})\n`);
    }
  }
}

/** A loss of a few rows far away may be beyond f32. */
function lossOf(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : "not finite (some are too far from the others)";
}

/** For the line that tells of the saved flow. */
export function lossText({ loss, validationLoss, bestStep }: TrainingSummary): string {
  if (loss === undefined) return "";
  const kept = bestStep === undefined ? "" : ` (the weights of step ${bestStep})`;
  const onHeldOut = validationLoss === undefined ? "" : `, of held-out rows ${lossOf(validationLoss)}${kept},`;
  return `loss ${loss.toFixed(4)}${onHeldOut} after `;
}
