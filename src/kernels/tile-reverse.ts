import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import { ReverseNetwork, reverseKernel, reverseSizes } from "../../shaders/tile-reverse.ts";
import { type Tiling, tileSizes } from "../../shaders/tiling.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import type { Network } from "../network/network.ts";
import type { TileLimits } from "./tile.ts";
import type { Wave } from "./waves.ts";

/** The largest networks whose gradient is found on a tile; wider layers go through kernels of their own. */
const limits = { width: 128, dim: 16, context: 16, classes: 64, waves: 64 };

/** Copies of the gradient at most: few enough to add, many enough to fill a device; and their bytes, and those of the scratch. */
const mostCopies = 256;
const mostBytes = 64 << 20;

/** Bytes of workgroup memory for each invocation: with more of them too few waves share a processor to hide what each waits for. */
const mostBytesEach = 192;

/** A network's forward and reverse on tiles of particles. */
export interface TileReverse {
  readonly network: ReverseNetwork;
  readonly tiling: Tiling;
  /** Numbers that a workgroup keeps in storage. */
  readonly keptFloats: number;
  readonly parameterCount: number;
  /** Multiply-adds of an evaluation. */
  readonly multiplyAdds: number;
}

/** How a GPU finds a network's gradient on tiles, or undefined where these have no room for it. */
export function tileReverse(network: Network, shared: Wave | undefined, device: TileLimits): TileReverse | undefined {
  const { dim, context, classes, parameterCount, multiplyAdds } = network;
  if (dim > limits.dim || context > limits.context || classes > limits.classes) return undefined;
  const waves = network.program.steps.reduce((sum, step) => sum + (step.kind === "project" ? step.width : 0), 0);
  if (waves > limits.waves) return undefined;
  const made = new ReverseNetwork(network);
  const { widest } = made;
  if (widest > limits.width) return undefined;
  // wide layers have twice the invocations, where there may be so many, rather than twice the sums
  const many = device.maxComputeInvocationsPerWorkgroup >= 512;
  const outputs = widest <= 32 ? 4 : widest <= 64 || many ? 8 : 16;
  for (const { columns, wave } of [...(shared ? [shared] : []), { columns: 32 }, { columns: 16 }] as Partial<Wave>[]) {
    if (columns === undefined) continue;
    const workgroupSize = 32 * Math.ceil((columns * Math.ceil(widest / outputs)) / 32);
    const tiling: Tiling = {
      lanes: 1,
      groups: 1,
      outputs,
      gather: 0,
      keep: "array",
      space: "storage",
      workgroupSize,
      tile: columns,
      unroll: 4,
      ...(wave !== undefined && { wave }),
    };
    if (workgroupSize > device.maxComputeInvocationsPerWorkgroup) continue;
    const { bytes, kept } = reverseSizes(made, tiling);
    if (bytes > Math.min(device.maxComputeWorkgroupStorageSize, mostBytesEach * workgroupSize)) continue;
    return { network: made, tiling, keptFloats: kept * columns, parameterCount, multiplyAdds };
  }
  return undefined;
}

/** Tiles of a batch padded to `capacity`, those that one workgroup goes through, and the workgroups: the same whatever a device can do at a time. */
export function reverseSegments({ tiling, keptFloats, parameterCount }: TileReverse, capacity: number) {
  const tiles = Math.ceil(capacity / tileSizes(tiling).columns);
  const fitting = Math.max(1, Math.floor(mostBytes / 4 / Math.max(parameterCount, keptFloats)));
  const each = Math.ceil(tiles / Math.min(mostCopies, fitting));
  return { tiles, each, segments: Math.ceil(tiles / each) };
}

/**
 * "h0" and "target" → "squares", and with `trains` the gradients of the segments in "partials". In as many dispatches as `maxFlops`
 * asks for; the bits are the same.
 */
export function planReverse(
  reverse: TileReverse,
  weights: string,
  batch: { readonly capacity: number; readonly count: number; readonly maxFlops: number; readonly weighted: boolean },
  trains: boolean,
): Dispatch[] {
  const { network, tiling, parameterCount, multiplyAdds } = reverse;
  const { capacity, count, maxFlops, weighted } = batch;
  const { tiles, each, segments } = reverseSegments(reverse, capacity);
  const perSegment = (trains ? 6 : 2) * multiplyAdds * each * tileSizes(tiling).columns;
  const most = Math.max(1, Math.floor(maxFlops / perSegment));
  const dispatches: Dispatch[] = [];
  for (let segment = 0; segment < segments; segment += most) {
    const now = Math.min(most, segments - segment);
    dispatches.push(
      dispatchOf(reverseKernel({ network, tiling, weighted, trains }), {
        params: {
          stride: capacity,
          count,
          zero: 0,
          tiles,
          segment_tiles: each,
          segment,
          parameters: trains ? parameterCount : undefined,
          scale: trains ? 2 / (count * network.dim) : undefined,
        },
        buffers: {
          weights,
          inputs: "h0",
          targets: "target",
          squares: "squares",
          partials: trains ? "partials" : undefined,
          kept: trains ? "kept" : undefined,
        },
        workgroups: gridOf(now),
        flops: now * perSegment,
      }),
    );
  }
  return dispatches;
}
