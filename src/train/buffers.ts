import type { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { layerSizes, type MlpVelocity, parameterCount } from "../velocity/mlp.ts";
import { packDispatch } from "../velocity/parameters.ts";
import type { Backward } from "./backward.ts";

/** Buffers of passes with up to `tangents` tangents over a batch padded to `capacity`: input rows, scratch, gradient, packed weights. */
export function gradientBuffers(
  backward: Backward,
  velocity: MlpVelocity,
  capacity: number,
  tangents = 0,
): PlannedBuffer[] {
  const [inputs = 0] = layerSizes(velocity);
  const count = parameterCount(velocity);
  return [
    { name: "h0", bytes: inputs * capacity * 4 },
    ...backward.buffers(capacity, tangents),
    { name: "partials", bytes: backward.copies(capacity) * count * 4 },
    { name: "gradient", bytes: count * 4 },
    ...backward.packings.flatMap(({ name, layout: { source } }) => [
      { name, bytes: source.byteLength },
      { name: mapOf(name), bytes: source.byteLength, data: source },
    ]),
  ];
}

const mapOf = (name: string) => `${name} map`;

/** Fills the packed weights from "parameters". */
export function planPackings(backward: Backward): Dispatch[] {
  return backward.packings.map(({ name, layout }) =>
    packDispatch(layout.source.length, { from: "parameters", map: mapOf(name), to: name }),
  );
}

/** What flow matching needs beside. */
export function residualBuffers(velocity: MlpVelocity, capacity: number): PlannedBuffer[] {
  return [
    { name: "target", bytes: velocity.dim * capacity * 4 },
    { name: "squares", bytes: capacity * 4 },
  ];
}

/** One buffer per name, as large as the largest of that name: scratch that two plans use one after the other. */
export function mergeBuffers(buffers: readonly PlannedBuffer[]): PlannedBuffer[] {
  const byName = new Map<string, PlannedBuffer>();
  for (const buffer of buffers) {
    const known = byName.get(buffer.name);
    const data = buffer.data ?? known?.data;
    const bytes = Math.max(buffer.bytes, known?.bytes ?? 0);
    byName.set(buffer.name, { name: buffer.name, bytes, ...(data ? { data } : {}) });
  }
  return [...byName.values()];
}

export async function allocateAll(arena: Arena, buffers: readonly PlannedBuffer[]): Promise<void> {
  for (const { name, bytes, data } of buffers) await arena.allocate(name, bytes, data);
}
