import { expect } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import type { MlpVelocity } from "../../src/network/mlp.ts";

/** What checks read of a flow without a device. */
export const shapeOf = (velocity: MlpVelocity) => ({
  dim: velocity.dim,
  velocitySpec: velocity,
  source: sourceSpec(undefined, velocity.dim),
  normalization: undefined,
  assertAlive: () => undefined,
});

/** The message with which a call is refused, in words of the library. */
export function told(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(PushforwardError);
    const { message } = error as Error;
    expect(message).not.toMatch(/\[object|Cannot read|is not iterable|undefined is not/);
    return message;
  }
  throw new Error("the call was expected to fail");
}
