import {
  type DenseEpilogue,
  type DenseTile,
  denseKernel,
  type GradientTile,
  plainGradientTile,
  plainTile,
  weightGradientKernel,
} from "../../shaders/dense.ts";
import { type Dispatch, packParams, u32 } from "../gpu/kernel.ts";

/** One layer as the planner of the layered path wants it: where its weights are, and what comes after the sums. */
export interface DenseCall {
  readonly layer: { readonly weights: number; readonly rowVectors: number; readonly bias: number };
  readonly inputs: number;
  readonly outputs: number;
  readonly epilogue: DenseEpilogue;
  readonly bias: boolean;
  readonly activation: string;
  /** Matrices in a row (tangents) in `in` and `out`, each of the given number of feature rows. */
  readonly batch?: { readonly count: number; readonly inRows: number; readonly outRows: number };
  readonly names: {
    readonly weights: string;
    readonly in: string;
    readonly out: string;
    readonly slopes?: string | undefined;
  };
}

/** The particles that a plan is for: all `capacity` of a row, a multiple of 64, padding included (so padding is finite too). */
export interface ParticleRange {
  readonly capacity: number;
  readonly maxFlops: number;
  /** Fixed subgroup size of a software adapter, where fetching weights by subgroup pays; default 0. */
  readonly subgroup?: number;
}

/** Measured on SwiftShader (subgroups of 4) and lavapipe (8): loads cost far more than arithmetic there, so tiles are large and shared. */
function denseTile(subgroup: number): DenseTile {
  return subgroup >= 4 ? { groups: 2, quads: 4, workgroupSize: 16, gather: subgroup } : plainTile;
}

function gradientTile(subgroup: number, outputs: number): GradientTile {
  if (subgroup < 4) return plainGradientTile;
  // a layer of few outputs gets a tile that is no wider than it needs
  const tile = Math.min(16, Math.ceil(outputs / subgroup) * subgroup);
  return { outputs: tile, inputs: 4, gather: subgroup, workgroup: [subgroup, 1] };
}

/** Dispatches of one dense layer, cut over particles so that each stays within `maxFlops`. */
export function planDense(call: DenseCall, { capacity, maxFlops, subgroup = 0 }: ParticleRange): Dispatch[] {
  const { layer, inputs, outputs, batch, names } = call;
  const tile = denseTile(subgroup);
  const { groups, quads, workgroupSize } = tile;
  const stride = capacity / 4;
  const vectors = stride;
  const perVector = 8 * inputs * outputs * (batch?.count ?? 1);
  const step = groups * workgroupSize;
  const most = Math.max(step, Math.floor(maxFlops / perVector / step) * step);
  const kernel = denseKernel({
    epilogue: call.epilogue,
    bias: call.bias,
    activation: call.epilogue.startsWith("activate") ? call.activation : "",
    tile,
  });
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < vectors; first += most) {
    const now = Math.min(most, vectors - first);
    dispatches.push({
      kernel,
      buffers: [names.weights, names.in, names.out, names.slopes].filter((name) => name !== undefined),
      params: packParams(
        [
          first,
          now,
          stride,
          inputs,
          outputs,
          layer.weights,
          layer.rowVectors,
          layer.bias,
          (batch?.inRows ?? 0) * stride,
          (batch?.outRows ?? 0) * stride,
        ].map((value) => u32(value)),
      ),
      workgroups: [Math.ceil(now / step), Math.ceil(outputs / (4 * quads)), batch?.count ?? 1],
      flops: now * perVector,
    });
  }
  return dispatches;
}

/** Particles per partial sum of a weight gradient; grows for large networks, so that the partial sums stay below 64 MiB. */
export function gradientSegments(capacity: number, parameterCount: number): number {
  const most = Math.max(1, Math.floor((64 << 20) / 4 / parameterCount));
  return Math.min(most, Math.ceil(capacity / 128));
}

/** Dispatches of one layer's weight and bias gradient into `partials`, one copy per segment. */
export function planWeightGradient(
  o: {
    inputs: number;
    outputs: number;
    weightOffset: number;
    biasOffset: number;
    parameterCount: number;
    /** Sizes of the x and time inputs when the network's own columns have time first. */
    swap?: { x: number; time: number } | undefined;
    names: { cotangents: string; inputs: string; partials: string };
  },
  { capacity, maxFlops, subgroup = 0 }: ParticleRange,
): Dispatch[] {
  const tile = gradientTile(subgroup, o.outputs);
  const segments = gradientSegments(capacity, o.parameterCount);
  const vectors = capacity / 4;
  const segmentVectors = Math.ceil(vectors / segments);
  const perSegment = 8 * (o.inputs + 1) * o.outputs * segmentVectors;
  const most = Math.max(1, Math.floor(maxFlops / perSegment));
  const dispatches: Dispatch[] = [];
  for (let segment = 0; segment < segments; segment += most) {
    const now = Math.min(most, segments - segment);
    dispatches.push({
      kernel: weightGradientKernel(tile),
      buffers: [o.names.cotangents, o.names.inputs, o.names.partials],
      params: packParams(
        [
          vectors,
          vectors,
          segmentVectors,
          o.inputs,
          o.outputs,
          o.weightOffset,
          o.biasOffset,
          o.parameterCount,
          o.swap?.x ?? 0,
          o.swap?.time ?? 0,
          segment,
        ].map((value) => u32(value)),
      ),
      workgroups: [
        Math.ceil((o.inputs + 1) / tile.inputs / tile.workgroup[0]),
        Math.ceil(o.outputs / tile.outputs / tile.workgroup[1]),
        now,
      ],
      flops: now * perSegment,
    });
  }
  return dispatches;
}
