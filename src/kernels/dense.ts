import { type DenseTile, denseKernel, plainTile, stagedTile, workgroupTile } from "../../shaders/dense.ts";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { numbered } from "../../shaders/interface.ts";
import type { ClusterShape } from "../../shaders/rows.ts";
import { nowhere } from "../../shaders/weight-gradient.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { item } from "../must.ts";

/** One product with a packed weight matrix: where the weights are, and what comes after the sums. */
export interface DenseCall {
  /** First vec4 of the weights and vec4s of a row. */
  readonly weights: number;
  readonly rowVectors: number;
  /** First vec4 of the bias. */
  readonly bias: number | undefined;
  /** Whether the text is that of layers with and without a bias. */
  readonly sharesText?: boolean;
  readonly inputs: number;
  readonly outputs: number;
  /** The row of the packed outputs that is the first of ours. */
  readonly firstRow: number;
  readonly given: { readonly row: number; readonly rows: number };
  /** Tangents, of which each has rows of its own. */
  readonly batch: number;
  readonly cluster: { readonly shape: ClusterShape; readonly numbers: Readonly<Record<string, number>> };
  readonly names: { readonly weights: string; readonly in: string; readonly cluster: readonly string[] };
  /** FLOPs of the cluster for one number. */
  readonly work: number;
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
  // with subgroups of 8 few outputs are no slower one input at a time, and compile in half of the time
  const unroll = subgroup < 8 ? 4 : quads > 2 ? 2 : 1;
  return { groups: quads < 8 ? 2 : 1, quads, unroll, workgroupSize: 16, gather: subgroup };
}

/** The numbers of {@link denseParams} for some of the particles, and those of the call's cluster. */
export const denseNumbers = (
  { inputs, outputs, given, weights, rowVectors, bias, cluster }: DenseCall,
  particles: { first: number; vectors: number; stride: number },
) => ({
  ...particles,
  inputs,
  outputs,
  given: given.row,
  given_rows: given.rows,
  weights,
  row_vectors: rowVectors,
  bias: bias ?? nowhere,
  ...cluster.numbers,
});

/** Ranges of vectors of 4 particles, in whole workgroups of `step` of them, each within `maxFlops` where `flops` is the work of one. */
export function* vectorRanges(
  { capacity, maxFlops }: Pick<ParticleRange, "capacity" | "maxFlops">,
  step: number,
  flops: number,
): Generator<[first: number, vectors: number]> {
  const all = capacity / 4;
  const most = Math.max(step, Math.floor(maxFlops / flops / step) * step);
  for (let first = 0; first < all; first += most) yield [first, Math.min(most, all - first)];
}

/** Dispatches of one dense layer, cut over particles, and over outputs where that is not enough, to stay within `maxFlops`. */
export function planDense(call: DenseCall, range: ParticleRange): Dispatch[] {
  const { inputs, outputs, batch, names, cluster } = call;
  const { capacity, maxFlops } = range;
  const firstQuad = Math.floor(call.firstRow / 4);
  const rows = call.firstRow + outputs - 4 * firstQuad;
  const tile = denseTile(range, rows);
  const { vectors: step, quads } = workgroupTile(tile);
  const stride = capacity / 4;
  const tiles = Math.ceil(rows / (4 * quads));
  /** Of one tile of outputs, of four particles. */
  const perVector = 4 * (2 * inputs + call.work) * (rows / tiles) * batch;
  const ranges = [...vectorRanges(range, step, perVector * tiles)];
  const [, largest] = item(ranges, 0);
  const mostTiles = Math.max(1, Math.floor(maxFlops / (perVector * largest)));
  const kernel = denseKernel({
    bias: call.sharesText ? "optional" : call.bias !== undefined,
    cluster: cluster.shape,
    tile,
  });
  const dispatches: Dispatch[] = [];
  for (const [first, now] of ranges) {
    for (let firstTile = 0; firstTile < tiles; firstTile += mostTiles) {
      const nowTiles = Math.min(mostTiles, tiles - firstTile);
      dispatches.push(
        dispatchOf(kernel, {
          params: {
            ...denseNumbers(call, { first, vectors: now, stride }),
            first_quad: firstQuad + firstTile * quads,
            first_row: call.firstRow,
            sums: 4 * tile.groups * tile.quads,
          },
          buffers: { weights: names.weights, input: names.in, ...numbered("b", names.cluster) },
          workgroups: [Math.ceil(now / step), nowTiles, batch],
          flops: now * perVector * nowTiles,
        }),
      );
    }
  }
  return dispatches;
}
