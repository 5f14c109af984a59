import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { mlpOperations } from "../network/mlp.ts";
import { compileNetwork, type NetworkVelocity } from "../network/network.ts";
import type { Operation } from "../network/operations/rule.ts";
import { checked, finite, type Schema } from "../options/schema.ts";
import { checkVelocity, type TrainableVelocity } from "../velocity/field.ts";

export interface ReverseTimeOptions {
  /** The time at which the other one's source is. Default 1. */
  end?: number;
}

const fields = { end: { check: finite(), fallback: 1 } } satisfies Schema<ReverseTimeOptions>;

/**
 * The field −T v(T (1 − t), x) of a field v that runs from the data at time 0 to the source at time T, as those of FFJORD, zuko and
 * lampe do: the same trajectories, from the source at t = 0 to the data at t = 1. Its tensors are those of v.
 *
 * @throws PushforwardError `invalid-argument` for what is no `mlp` or `network`, and an `end` of 0.
 * @example
 * import { concatSquash } from "pushforward";
 * import { reverseTime } from "pushforward/pytorch";
 * const velocity = reverseTime(concatSquash({ dim: 2, hidden: [64, 64] }), { end: 0.5 });
 */
export function reverseTime(velocity: TrainableVelocity, options: ReverseTimeOptions = {}): NetworkVelocity {
  const what = "reverseTime";
  const { end } = checked(what, fields, options);
  if (end === 0)
    throw invalid(`${what}: end is 0, but it is the time at which the source is, which is not that of the data`);
  checkVelocity(what, velocity);
  if ((velocity.kind as string) === "wgsl")
    throw invalid(`${what}: this is a wgslVelocity, but a network is expected: change its code`);
  const { dim, classes, context } = velocity;
  const given = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
  const operations: Operation[] = [];
  /** Where the result of each operation is now. */
  const moved: number[] = [];
  const push = (operation: Operation & Record<string, unknown>) => operations.push(operation) - 1;
  for (const operation of given) {
    const at = push({ ...operation, of: operation.of.map((from) => item(moved, from)) });
    const isTime = operation.op === "input" && (operation as Operation & { input?: string }).input === "t";
    moved.push(isTime ? push({ op: "shift", by: end, of: [push({ op: "scale", by: -end, of: [at] })] }) : at);
  }
  push({ op: "scale", by: -end, of: [operations.length - 1] });
  const sizes = { dim, classes, context };
  compileNetwork(what, sizes, operations);
  return Object.freeze({
    kind: "network",
    ...sizes,
    operations: Object.freeze(operations.map((o) => Object.freeze(o))),
  });
}
