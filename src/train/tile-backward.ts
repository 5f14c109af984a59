import type { Gpu } from "../gpu/gpu.ts";
import { planReverse, reverseSegments, tileReverse } from "../kernels/tile-reverse.ts";
import type { Wave } from "../kernels/waves.ts";
import type { Network } from "../network/network.ts";
import { reverseLayout } from "../velocity/network-layout.ts";
import type { MatchingBackward } from "./backward.ts";

/** Flow matching on a GPU: forward and reverse in one kernel, on tiles of particles; undefined for networks that do not fit. */
export function tileBackward(
  { device }: Gpu,
  network: Network,
  shared: Wave | undefined,
): MatchingBackward | undefined {
  const reverse = tileReverse(network, "matching", shared, device.limits);
  if (!reverse) return undefined;
  const layout = reverseLayout(network, reverse.network.packing(reverse.tiling, reverse.work));
  const plan =
    (trains: boolean): MatchingBackward["residual"] =>
    (batch) =>
      planReverse(reverse, layout.name, { ...batch, weighted: batch.weighted === true }, trains);
  return {
    packings: [{ name: layout.name, layout }],
    copies: (capacity) => reverseSegments(reverse, capacity).segments,
    buffers: (capacity) => [
      { name: "kept", bytes: 4 * reverseSegments(reverse, capacity).segments * Math.max(1, reverse.keptFloats) },
    ],
    residual: plan(true),
    squares: plan(false),
  };
}
