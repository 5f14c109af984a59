import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { turn } from "./circle.ts";
import { type MlpVelocity, mlpOperations } from "./mlp.ts";
import { type NetworkVelocity, widthsOf } from "./network.ts";
import type { SliceOperation } from "./operations/arrange.ts";
import type { FourierOperation } from "./operations/fourier.ts";
import type { InputOperation } from "./operations/input.ts";

/**
 * Whether a network has the period of a turn in these axes of x: it does where it takes them by Fourier features of whole turns alone.
 *
 * @throws PushforwardError `invalid-argument` for one that takes a circular axis in another way.
 */
export function checkPeriodic(velocity: MlpVelocity | NetworkVelocity, axes: readonly number[]): void {
  const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
  const widths = widthsOf("network", velocity, operations);
  /** Of each feature of a result, the circular axis that it is. */
  const angles: (number | undefined)[][] = [];
  for (const [i, { op, of, ...settings }] of operations.entries()) {
    const given = of.flatMap((argument) => item(angles, argument));
    let own = new Array<number | undefined>(item(widths, i)).fill(undefined);
    let used = given;
    if (op === "input" && (settings as InputOperation).input === "x")
      own = own.map((_, axis) => (axes.includes(axis) ? axis : undefined));
    else if (op === "concat" || op === "slice") {
      const { start, end } = settings as SliceOperation;
      own = given.slice(start, end);
      used = [];
    } else if (op === "fourier")
      used = given.filter((_, j) =>
        (settings as FourierOperation).frequencies.some((row) => !Number.isInteger(item(row, j) * turn)),
      );
    angles.push(own);
    const axis = (i === operations.length - 1 ? own : used).find((angle) => angle !== undefined);
    if (axis !== undefined)
      throw invalid(
        `velocity takes axis ${axis} as a number, but transform has it circular, so that the field would jump after a turn: give mlp(…) or residualMlp(…) circular: { axes: [${axes}] } and no features, which take it so, or take circle(slice(x, ${axis}, ${axis + 1})) in a network of your own`,
      );
  }
}
