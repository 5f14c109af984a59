import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import type { Numeric } from "../../shaders/interface.ts";
import { partialStride } from "../../shaders/optimizer.ts";
import {
  type PassWork,
  passKernel,
  productKernel,
  ReverseNetwork,
  type ReverseWork,
  reverseKernel,
  reverseSizes,
  reverseTexts,
  velocityKernel,
} from "../../shaders/tile-reverse.ts";
import { type Tiling, tileSizes } from "../../shaders/tiling.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import type { Network } from "../network/network.ts";
import type { TileLimits } from "./tile.ts";
import type { Wave } from "./waves.ts";

/** The largest networks whose gradient is found on a tile; wider layers go through kernels of their own. */
const limits = { width: 128, dim: 16, context: 16, classes: 64, waves: 64 };

/** Stages of such a pass at most that have a text of their own: more of them take seconds to compile. */
const mostTexts = 72;

/** Copies of the gradient at most: few enough to add, many enough to fill a device; where there is none to add, workgroups at most. */
const mostCopies = 256;
const mostWorkgroups = 1024;
/** Bytes of the copies, and of the scratch. */
const mostBytes = 64 << 20;

/** Bytes of workgroup memory for each invocation: with more of them too few waves share a processor to hide what each waits for. */
const mostBytesEach = 192;

/** The same where the alternative are twice the invocations. */
const fewBytesEach = 144;

/** Invocations of a workgroup at most: twice as many have half of the registers, which are too few for the sums of such a pass. */
const mostInvocations = 512;

/** A network's forward and reverse on tiles of particles. */
export interface TileReverse {
  readonly work: ReverseWork;
  readonly network: ReverseNetwork;
  readonly tiling: Tiling;
  /** Numbers that a workgroup keeps in storage. */
  readonly keptFloats: number;
  readonly parameterCount: number;
  /** Multiply-adds of an evaluation. */
  readonly multiplyAdds: number;
}

/** How a GPU finds such a gradient of a network on tiles, or undefined where these have no room for it. */
export function tileReverse(
  network: Network,
  work: ReverseWork,
  shared: Wave | undefined,
  device: TileLimits,
): TileReverse | undefined {
  const { dim, context, classes, parameterCount, multiplyAdds } = network;
  if (dim > limits.dim || context > limits.context || classes > limits.classes) return undefined;
  const waves = network.program.steps.reduce((sum, step) => sum + (step.kind === "project" ? step.width : 0), 0);
  if (waves > limits.waves) return undefined;
  const made = new ReverseNetwork(network);
  const widest = made.widest(work);
  const tangents = typeof work === "string" ? 0 : work.tangents;
  if (widest > limits.width) return undefined;
  // wide layers have twice the invocations, where there may be so many, rather than twice the sums
  const many = device.maxComputeInvocationsPerWorkgroup >= 512;
  // with tangents an invocation has as many sums of each: with two of them and more twice as many leave few waves
  const few = widest <= 32 || (tangents > 1 && many);
  const outputs = few ? 4 : widest <= 64 || many ? 8 : 16;
  // but where a subgroup reads a weight once for all, more sums for each number of the tile are worth it, as long as there is memory
  const sharing: Tiling["outputs"][] = widest > 32 && few ? [8, 4] : [outputs];
  const sharingTiles = ({ columns, wave }: Wave, spares: Pick<Tiling, "sparesMemory">) =>
    sharing.map((outputs) => ({ tile: columns, wave, outputs, ...spares }));
  const candidates: Partial<Tiling>[] = [
    ...(shared ? [...sharingTiles(shared, {}), ...sharingTiles(shared, { sparesMemory: true })] : []),
    { tile: 32 },
    { tile: 16 },
  ];
  for (const candidate of candidates) {
    const base = { lanes: 1, groups: 1, outputs, gather: 0, keep: "array", space: "storage", unroll: 4 } as const;
    const shape = { ...base, tile: 16, ...candidate };
    const columns = shape.tile;
    const workgroupSize = 32 * Math.ceil((columns * Math.ceil(widest / shape.outputs)) / 32);
    const tiling: Tiling = { ...shape, workgroupSize };
    if (workgroupSize > Math.min(device.maxComputeInvocationsPerWorkgroup, mostInvocations)) continue;
    const { bytes, kept } = reverseSizes(made, tiling, work);
    const each = shape.outputs > outputs ? fewBytesEach : mostBytesEach;
    if (bytes > Math.min(device.maxComputeWorkgroupStorageSize, each * workgroupSize)) continue;
    if (typeof work !== "string" && reverseTexts(made, tiling, work) > mostTexts) return undefined;
    return { work, network: made, tiling, keptFloats: kept * columns, parameterCount, multiplyAdds };
  }
  return undefined;
}

/** Tiles of a batch padded to `capacity`, those that one workgroup goes through, and the workgroups: the same whatever a device can do at a time. */
export function reverseSegments({ work, tiling, keptFloats, parameterCount }: TileReverse, capacity: number) {
  const tiles = Math.ceil(capacity / tileSizes(tiling).columns);
  const trains = work !== "product";
  const fitting = Math.max(1, Math.floor(mostBytes / 4 / Math.max(trains ? parameterCount : 1, keptFloats)));
  const each = Math.ceil(tiles / Math.min(trains ? mostCopies : mostWorkgroups, fitting));
  return { tiles, each, segments: Math.ceil(tiles / each) };
}

/** A batch padded to `capacity`, and the most that a dispatch does of it. */
interface Range {
  readonly capacity: number;
  readonly maxFlops: number;
}

/** The segments of a batch in as many dispatches as `maxFlops` asks for, the bits being the same; `passes` are multiply-adds for each of the network's. */
function perSegments(
  reverse: TileReverse,
  { capacity, maxFlops }: Range,
  passes: number,
  plan: (
    params: Record<"stride" | "zero" | "tiles" | "segment_tiles" | "segment", number>,
    size: Pick<Dispatch, "workgroups" | "flops">,
  ) => Dispatch,
): Dispatch[] {
  const { tiles, each, segments } = reverseSegments(reverse, capacity);
  const flops = 2 * passes * reverse.multiplyAdds * each * tileSizes(reverse.tiling).columns;
  const most = Math.max(1, Math.floor(maxFlops / flops));
  return Array.from({ length: Math.ceil(segments / most) }, (_, i) => {
    const now = Math.min(most, segments - i * most);
    const params = { stride: capacity, zero: 0, tiles, segment_tiles: each, segment: i * most };
    return plan(params, { workgroups: gridOf(now), flops: now * flops });
  });
}

/** "h0" and "target" → "squares", and with `trains` the gradients of the segments in "partials". */
export function planReverse(
  reverse: TileReverse,
  weights: string,
  batch: Range & { readonly count: number; readonly weighted: boolean },
  trains: boolean,
): Dispatch[] {
  const { network, tiling, parameterCount } = reverse;
  const { count, weighted } = batch;
  const kernel = reverseKernel({ network, tiling, weighted, trains });
  return perSegments(reverse, batch, trains ? 3 : 1, (params, size) =>
    dispatchOf(kernel, {
      params: {
        ...params,
        count,
        parameters: trains ? partialStride(parameterCount) : undefined,
        scale: trains ? 2 / (count * network.dim) : undefined,
      },
      buffers: {
        weights,
        inputs: "h0",
        targets: "target",
        squares: "squares",
        partials: trains ? "partials" : undefined,
        kept: kernel.buffers.kept ? "kept" : undefined,
      },
      ...size,
    }),
  );
}

/** Input rows and cotangents w [dim] → velocities and Jᵀ·w, [dim] each. */
export function planProduct(
  reverse: TileReverse,
  range: Range,
  names: Record<"weights" | "inputs" | "cotangent" | "velocity" | "product", string>,
): Dispatch[] {
  const { network, tiling } = reverse;
  const kernel = productKernel({ network, tiling });
  return perSegments(reverse, range, 2, (params, size) =>
    dispatchOf(kernel, { params, buffers: { ...names, kept: kernel.buffers.kept ? "kept" : undefined }, ...size }),
  );
}

/** Input rows → velocities, and the products with a matrix of so many tangents behind them. */
export function planVelocity(
  reverse: TileReverse,
  range: Range,
  work: Pick<PassWork, "kind" | "tangents">,
  names: Record<"weights" | "inputs" | "velocity", string> & { readonly matrix: string | undefined },
): Dispatch[] {
  const { network, tiling } = reverse;
  const kernel = velocityKernel({ network, tiling, work: { ...work, forward: true } });
  return perSegments(reverse, range, 1 + work.tangents, (params, size) =>
    dispatchOf(kernel, { params, buffers: { ...names, kept: kernel.buffers.kept ? "kept" : undefined }, ...size }),
  );
}

/**
 * Input rows and cotangents → gradients by x, and those of the segments by the weights, which are begun or added to: a pass of any number
 * of the tangents that the tile is made for, or without. See {@link PassWork}.
 */
export function planPass(
  reverse: TileReverse,
  batch: Range & { readonly count: number },
  work: PassWork,
  o: {
    readonly first: number;
    readonly weight: Numeric;
    readonly begin: boolean;
    /** What |u|² is worth, and each |∂u/∂x v_s|², where the work is penalised. */
    readonly penalty: { readonly energy: Numeric; readonly jacobian: Numeric } | undefined;
    readonly names: Record<"weights" | "inputs" | "cotangent" | "xbar", string> & {
      readonly matrix: string | undefined;
      readonly probes: string | undefined;
    };
  },
): Dispatch[] {
  const { network, tiling, parameterCount } = reverse;
  const { tangents, kind } = work;
  const { penalty } = o;
  const kernel = passKernel({ network, tiling, work: { ...work, ...(penalty && { penalised: true }) } });
  const isTrace = tangents > 0 && kind !== "matrix";
  return perSegments(reverse, batch, 3 * (1 + tangents), (params, size) =>
    dispatchOf(kernel, {
      params: {
        ...params,
        parameters: partialStride(parameterCount),
        adds: o.begin ? 0 : 1,
        count: isTrace || penalty ? batch.count : undefined,
        first: isTrace ? o.first : undefined,
        weight: isTrace ? o.weight : undefined,
        twice: penalty && 2 / batch.count,
        energy: penalty?.energy,
        jacobian: isTrace ? penalty?.jacobian : undefined,
      },
      buffers: {
        ...o.names,
        partials: "partials",
        kept: kernel.buffers.kept ? "kept" : undefined,
      },
      ...size,
    }),
  );
}
