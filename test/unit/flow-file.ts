import { withMetadata } from "../../cli/model.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";

/** A flow's file as `train` writes it, without a training. */
export function flowFile(options: Partial<Parameters<typeof mlp>[0]> = {}): Uint8Array {
  const velocity = mlp({ dim: 2, hidden: [5], ...options });
  const weights = networkOf(velocity).tensors.map(
    ({ name, shape }) => [name, new Float32Array(shape.reduce((product, size) => product * size, 1))] as const,
  );
  const axes = Array.from({ length: velocity.dim }, (_, i) => i);
  const normalization = { mean: axes.map((i) => i + 1), scale: axes.map(() => 1) };
  return withMetadata(
    saveFlow(velocity, Object.fromEntries(weights), { distribution: "gaussian" }, normalization),
    axes.map((i) => ["x", "y"][i] ?? `x${i}`),
  );
}
