import { type DenseEpilogue, type DenseTile, denseKernel, plainTile } from "../../shaders/dense.ts";
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
