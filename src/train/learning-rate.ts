import { invalid } from "../errors.ts";
import { checked, type Schema, single, word } from "../options/schema.ts";
import { checkFinite, checkInteger, show, singles } from "../options.ts";
import type { LearningRateSchedule } from "./optimizer-options.ts";
import type { TrainingPlan } from "./plan.ts";

/** Steps are counted from 0. */
export type RateOfStep = (step: number) => number;

const rate = single(0, Infinity, singles);

export const scheduleNames = ["constant", "linear", "cosine", "one-cycle"] as const;

const scheduleFields = {
  peak: { check: rate, required: true },
  schedule: { check: word(...scheduleNames), required: true },
  warmup: { check: (name, value) => (Number(value) < 1 ? checkFinite(name, value, 0) : checkInteger(name, value, 1)) },
  final: { check: rate },
} satisfies Schema<LearningRateSchedule>;

/** The first rate of a one-cycle schedule, and its last one, in units of the peak: PyTorch's `OneCycleLR`. */
const [cycleStart, cycleEnd] = [1 / 25, 1 / 25e4];

/**
 * The learning rate of each step of a training.
 *
 * @throws PushforwardError `invalid-argument` for a schedule that is none; its function for a rate that is none.
 */
export function rateOfStep(what: string, { steps, options: { learningRate } }: TrainingPlan): RateOfStep {
  if (typeof learningRate === "number") return () => learningRate;
  if (typeof learningRate === "function")
    return (step) => checkFinite(`${what}: learningRate(${step})`, learningRate(step), 0, 3e38);
  const name = `${what}: learningRate`;
  if (typeof learningRate !== "object" || learningRate === null)
    throw invalid(`${name} is ${show(learningRate)}, but it is a number, a function of the step or { peak, schedule }`);
  const o = checked(name, scheduleFields, learningRate, `${name}.`);
  const { peak, schedule } = o;
  const isCycle = schedule === "one-cycle";
  const { warmup: given = isCycle ? 0.3 : 0, final = isCycle ? peak * cycleEnd : 0 } = o;
  const warmup = given < 1 ? Math.round(given * steps) : given;
  if (warmup > steps)
    throw invalid(`${name}.warmup is ${warmup} steps, but the training has ${steps}: pass fewer, or a part below 1`);
  if (schedule === "constant" && o.final !== undefined)
    throw invalid(`${name}.final is ${o.final}, but a constant rate ends at its peak: use "linear" or "cosine"`);
  /** Half a cosine, or a straight line, from `from` to `to` as `part` goes from 0 to 1. */
  const cosine = (from: number, to: number, part: number) => to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2;
  const line = (from: number, to: number, part: number) => to + (from - to) * (1 - part);
  const fall = { constant: () => peak, linear: line, cosine, "one-cycle": cosine }[schedule];
  return (step) => {
    if (step < warmup) return isCycle ? cosine(peak * cycleStart, peak, step / warmup) : (peak * (step + 1)) / warmup;
    return fall(peak, final, Math.min(1, (step - warmup) / Math.max(1, steps - warmup)));
  };
}
