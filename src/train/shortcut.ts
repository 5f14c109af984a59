import { planShortcut } from "../../shaders/shortcut.ts";
import { invalid } from "../errors.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { networkOf } from "../network/of.ts";
import { padded } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { inputRows } from "../velocity/run.ts";
import type { Backward } from "./backward.ts";
import { shortcutFields } from "./later-fields.ts";
import type { FlowMatchingPlan } from "./plan.ts";

/** Checks the option `shortcut`. */
export function shortcutPlan(what: string, { velocity, options }: FlowMatchingPlan): { every: number } | undefined {
  const { shortcut, predict } = options;
  if (shortcut === undefined) return undefined;
  const plan = checked(`${what}: shortcut`, shortcutFields, shortcut, `${what}: shortcut.`);
  if (velocity.context === 0)
    throw invalid(
      `${what}: shortcut was given, but this network has no context, whose last column is the length of a step: make it with context: 1, or one more than there is`,
    );
  if (predict === "score")
    throw invalid(`${what}: shortcut was given, but a score has no steps: leave it out, or predict the velocity`);
  return plan;
}

/** Shortcuts among the samples of batches of one size. */
export interface Shortcuts {
  readonly buffers: readonly PlannedBuffer[];
  /** What follows the drawing of a batch. */
  dispatches(first: number, maxFlops: number): Dispatch[];
}

export function shortcutsOf(
  { every }: { readonly every: number },
  { velocity, batchSize, key }: FlowMatchingPlan,
  backward: Backward,
): Shortcuts {
  const { dim } = velocity;
  const rows = inputRows(networkOf(velocity));
  const count = Math.ceil(batchSize / every);
  const capacity = padded(count);
  const batch = { dim, rows, batch: padded(batchSize), capacity, count, every, key };
  const ofHalves = (dispatch: Dispatch): Dispatch => {
    const buffers = Object.entries(dispatch.buffers).map(([own, name]) => [own, name === "h0" ? "halves" : name]);
    return { ...dispatch, buffers: Object.fromEntries(buffers) };
  };
  return {
    buffers: [
      { name: "halves", bytes: rows * capacity * 4 },
      ...["first half", "second half"].map((name) => ({ name, bytes: dim * capacity * 4 })),
    ],
    dispatches: (first, maxFlops) =>
      planShortcut({ ...batch, first }, (output) =>
        backward.velocity({ capacity, count, maxFlops }, output).map(ofHalves),
      ),
  };
}
