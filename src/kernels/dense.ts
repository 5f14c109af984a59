import {
  type DenseEpilogue,
  type DenseTile,
  denseKernel,
  plainTile,
  stagedTile,
  workgroupTile,
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
  /** Whether workgroup memory is fast, as it is on GPUs; default false. */
  readonly staged?: boolean;
  /** Instead of the tile that is chosen for the adapter. */
  readonly tile?: DenseTile;
}

/**
 * Measured on SwiftShader (subgroups of 4) and lavapipe (8), where a load costs far more than arithmetic. What an invocation
 * loads for an input are its particles and, by its subgroup, one quad of weights a lane: so as many quads as there are lanes.
 */
function denseTile({ subgroup = 0, staged = false, tile }: ParticleRange, outputs: number): DenseTile {
  if (tile) return tile;
  // half a tile of idle rows costs more than reading the weights anew
  if (staged) return outputs > 2 * workgroupTile(stagedTile).quads ? stagedTile : plainTile;
  if (subgroup < 4) return plainTile;
  let quads = subgroup;
  while (quads > 1 && 2 * outputs <= 4 * quads) quads /= 2;
  return { groups: quads < 8 ? 2 : 1, quads, unroll: subgroup < 8 ? 4 : 2, workgroupSize: 16, gather: subgroup };
}

/** Dispatches of one dense layer, cut over particles, and over outputs where that is not enough, to stay within `maxFlops`. */
export function planDense(call: DenseCall, range: ParticleRange): Dispatch[] {
  const { layer, inputs, outputs, batch, names } = call;
  const { capacity, maxFlops } = range;
  const tile = denseTile(range, outputs);
  const { vectors: step, quads } = workgroupTile(tile);
  const stride = capacity / 4;
  const vectors = stride;
  const tiles = Math.ceil(outputs / (4 * quads));
  /** Of one tile of outputs, of four particles. */
  const perVector = 8 * inputs * (outputs / tiles) * (batch?.count ?? 1);
  const mostVectors = Math.max(step, Math.floor(maxFlops / (perVector * tiles) / step) * step);
  const mostTiles = Math.max(1, Math.floor(maxFlops / (perVector * Math.min(vectors, mostVectors))));
  const kernel = denseKernel({
    epilogue: call.epilogue,
    bias: call.bias,
    activation: call.epilogue.startsWith("activate") ? call.activation : "",
    tile,
  });
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < vectors; first += mostVectors) {
    const now = Math.min(mostVectors, vectors - first);
    for (let firstTile = 0; firstTile < tiles; firstTile += mostTiles) {
      const nowTiles = Math.min(mostTiles, tiles - firstTile);
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
            firstTile * quads,
          ].map((value) => u32(value)),
        ),
        workgroups: [Math.ceil(now / step), nowTiles, batch?.count ?? 1],
        flops: now * perVector * nowTiles,
      });
    }
  }
  return dispatches;
}
