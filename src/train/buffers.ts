import type { Arena } from "../gpu/arena.ts";
import type { PlannedBuffer } from "../gpu/kernel.ts";
import { gradientSegments } from "../kernels/dense.ts";
import { denseBackwardLayout, denseForwardLayout } from "../velocity/dense-layout.ts";
import { denseWeights } from "../velocity/layered.ts";
import { layerSizes, type MlpVelocity, parameterCount } from "../velocity/mlp.ts";

/** Buffers of one pass forward and back with the gradient, for a batch padded to `capacity`. */
export function gradientBuffers(velocity: MlpVelocity, capacity: number): PlannedBuffer[] {
  const sizes = layerSizes(velocity);
  const hidden = sizes.slice(1, -1);
  const count = parameterCount(velocity);
  const rows = (name: string, features: number): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
  return [
    rows("h0", sizes[0] ?? 0),
    ...hidden.flatMap((width, l) => [rows(`h${l + 1}`, width), rows(`g${l + 1}`, width), rows(`abar${l + 1}`, width)]),
    ...["u", "target", "ubar"].map((name) => rows(name, velocity.dim)),
    rows("squares", 1),
    { name: "partials", bytes: gradientSegments(capacity, count) * count * 4 },
    { name: "gradient", bytes: count * 4 },
  ];
}

/** The packings of the weights for both directions, with their maps: filled from the parameters by `packDispatch`. */
export function packings(velocity: MlpVelocity): { name: string; map: string; source: Uint32Array }[] {
  return [
    { name: denseWeights.forward, map: "map.forward", source: denseForwardLayout(velocity).source },
    { name: denseWeights.backward, map: "map.backward", source: denseBackwardLayout(velocity).source },
  ];
}

export async function allocateAll(arena: Arena, buffers: readonly PlannedBuffer[]): Promise<void> {
  for (const { name, bytes, data } of buffers) await arena.allocate(name, bytes, data);
}
