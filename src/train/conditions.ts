import { planConditionRows } from "../../shaders/condition-rows.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import type { Conditions } from "../ode/engine.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { Batch } from "./backward.ts";

/** Rows for the class and the context of each sample in "h0", behind state and time, where the network has any. */
export function planConditions(
  { dim, classes, context }: Pick<TrainableVelocity, "dim" | "classes" | "context">,
  { capacity, count }: Pick<Batch, "capacity" | "count">,
  given: Omit<Conditions, "guidance">,
): Dispatch[] {
  if (classes + context === 0) return [];
  const labels = given.labels && "labels";
  const contextRows = given.context && "context";
  const row = dim + 1;
  return [planConditionRows({ capacity, count, row, classes, context, input: "h0", labels, contextRows })];
}
