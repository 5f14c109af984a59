import { partialStride } from "../../shaders/optimizer.ts";
import { packDispatch } from "../../shaders/pack.ts";
import { weightWindow } from "../../shaders/tiling.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { networkOf } from "../network/of.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { inputRows } from "../velocity/run.ts";
import type { GradientBackward, MostTangents } from "./backward.ts";

const noTangents: MostTangents = { count: 0, kind: "trace" };

/** Buffers of passes with up to so many tangents over a batch padded to `capacity`: input rows, scratch, gradient, packed weights. */
export function gradientBuffers(
  backward: GradientBackward,
  velocity: TrainableVelocity,
  capacity: number,
  tangents = noTangents,
): PlannedBuffer[] {
  const network = networkOf(velocity);
  const count = network.parameterCount;
  return [
    { name: "h0", bytes: inputRows(network) * capacity * 4 },
    ...backward.buffers(capacity, tangents),
    { name: "partials", bytes: backward.copies(capacity) * partialStride(count) * 4 },
    { name: "gradient", bytes: count * 4 },
    ...backward.packings.flatMap(({ name, layout: { source } }) => [
      // a step writes what is no parameter behind it, and a window may begin at the last matrix
      { name, bytes: source.byteLength + 16 * weightWindow.vectors },
      { name: mapOf(name), bytes: source.byteLength, data: source },
    ]),
  ];
}

const mapOf = (name: string) => `${name} map`;

/** Fills the packed weights from "parameters". */
export function planPackings(backward: GradientBackward): Dispatch[] {
  return backward.packings.map(({ name, layout }) =>
    packDispatch(layout.source.length, { from: "parameters", map: mapOf(name), to: name }),
  );
}

/** What flow matching needs beside. */
export function residualBuffers(velocity: TrainableVelocity, capacity: number, weighted: boolean): PlannedBuffer[] {
  return [
    { name: "target", bytes: (velocity.dim + (weighted ? 1 : 0)) * capacity * 4 },
    { name: "squares", bytes: capacity * 4 },
  ];
}

export async function allocateAll(arena: Arena, buffers: readonly PlannedBuffer[]): Promise<void> {
  for (const { name, bytes, data } of buffers) await arena.allocate(name, bytes, data);
}
