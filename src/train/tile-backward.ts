import type { PassWork } from "../../shaders/tile-reverse.ts";
import type { Gpu } from "../gpu/gpu.ts";
import {
  planPass,
  planReverse,
  planVelocity,
  reverseSegments,
  type TileReverse,
  tileReverse,
} from "../kernels/tile-reverse.ts";
import type { Wave } from "../kernels/waves.ts";
import type { Network } from "../network/network.ts";
import { reverseLayout } from "../velocity/network-layout.ts";
import type { GradientBackward, LikelihoodBackward, MatchingBackward } from "./backward.ts";

/** Tangents of a pass at most. */
const mostTangents = 4;

/** Flow matching on a GPU: forward and reverse in one kernel, on tiles of particles; undefined for networks that do not fit. */
export function tileBackward(
  { device }: Gpu,
  network: Network,
  shared: Wave | undefined,
): MatchingBackward | undefined {
  const reverse = tileReverse(network, "matching", shared, device.limits);
  if (!reverse) return undefined;
  const plan =
    (trains: boolean): MatchingBackward["residual"] =>
    (batch) =>
      planReverse(reverse, weights, { ...batch, weighted: batch.weighted === true }, trains);
  return { ...common(network, reverse), residual: plan(true), squares: plan(false) };
}

const weights = "tile weights of both directions";

/** Weights, copies and scratch of a gradient on tiles. */
function common(network: Network, reverse: TileReverse): GradientBackward {
  const layout = reverseLayout(network, reverse.network.packing(reverse.tiling, reverse.work));
  return {
    packings: [{ name: weights, layout }],
    copies: (capacity) => reverseSegments(reverse, capacity).segments,
    buffers: (capacity) => [
      { name: "kept", bytes: 4 * reverseSegments(reverse, capacity).segments * reverse.keptFloats },
    ],
  };
}

/**
 * Passes of a likelihood's gradient on a GPU, each in one kernel: of as many of the tangents at a time as fit a tile, which a matrix of them
 * must as a whole. Undefined for networks that do not fit, of however few tangents.
 */
export function tilePasses(
  { device }: Gpu,
  network: Network,
  shared: Wave | undefined,
  tangents: { readonly count: number; readonly kind: PassWork["kind"] },
  penalised: boolean,
): LikelihoodBackward | undefined {
  const { count: all, kind } = tangents;
  const least = kind === "matrix" ? all : 1;
  for (let most = Math.min(all, mostTangents); most >= least; most--) {
    const reverse = tileReverse(network, { tangents: most, kind, penalised }, shared, device.limits);
    if (!reverse) continue;
    return {
      ...common(network, reverse),
      mostTangents: most,
      velocity: (batch, output, tangents) =>
        planVelocity(
          reverse,
          batch,
          { tangents: tangents?.count ?? 0, kind },
          { weights, inputs: "h0", matrix: tangents?.matrix, velocity: output },
        ),
      pass(batch, { cotangent, xbar, begin, penalty, tangents }) {
        const trace = "matrix" in tangents ? undefined : tangents;
        return planPass(
          reverse,
          batch,
          { tangents: tangents.count, kind },
          {
            first: trace?.first ?? 0,
            weight: trace?.weight ?? 0,
            begin,
            penalty,
            names: {
              weights,
              inputs: "h0",
              cotangent,
              xbar,
              matrix: "matrix" in tangents ? tangents.matrix : undefined,
              probes: tangents.count > 0 && kind === "probes" ? trace?.probes : undefined,
            },
          },
        );
      },
    };
  }
  return undefined;
}
