import { item } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import type { NetworkVelocity } from "../network/network.ts";

/** The MLP that the fused kernels know: nothing between the inputs and its layers but Fourier features of the time. */
export function plainMlp(velocity: MlpVelocity | NetworkVelocity): MlpVelocity | undefined {
  return velocity.kind === "mlp" && !velocity.features && !velocity.circular ? velocity : undefined;
}

/** Number of inputs that hold the time: 1, or 2k for Fourier features. */
export function timeInputs(velocity: MlpVelocity): number {
  return velocity.time === "concat" ? 1 : 2 * velocity.time.fourier;
}

/** Widths from the input layer to the output layer. */
export function layerSizes(velocity: MlpVelocity): number[] {
  const { dim, hidden, classes, context } = velocity;
  return [dim + timeInputs(velocity) + classes + context, ...hidden, dim];
}

/** Column of W_1 that multiplies each of the fused kernels' inputs, whose order is always [x, time, class, context]. */
export function inputColumns(velocity: MlpVelocity): number[] {
  const { dim } = velocity;
  const time = timeInputs(velocity);
  const inputs = item(layerSizes(velocity), 0);
  return Array.from({ length: inputs }, (_, i) => {
    if (velocity.inputOrder === "x,t" || i >= dim + time) return i;
    return i < dim ? i + time : i - dim;
  });
}
