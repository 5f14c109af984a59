import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import type { Numeric } from "../../shaders/interface.ts";
import {
  type GradientNetwork,
  type GradientShape,
  type GradientTiling,
  gradientSizes,
  narrowGradientKernel,
} from "../../shaders/narrow-gradient.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { subgroupForWeights } from "./tiling.ts";

/** The tiling of the fused gradient kernel on an adapter. Tangents are further accumulators, so they halve the particles. */
export function gradientTiling(
  info: GpuInfo,
  maxUniformBytes: number,
  network: GradientNetwork,
  tangents: number,
): GradientTiling {
  const subgroup = subgroupForWeights(info);
  const outputs = info.software ? 2 : 4;
  const { forward, reverse, inner } = gradientSizes(network, outputs);
  return {
    lanes: info.software ? 4 : 1,
    groups: info.software && subgroup <= 4 && tangents === 0 ? 2 : 1,
    outputs,
    gather: subgroup > 1 && inner % subgroup === 0 ? subgroup : 0,
    space: Math.max(forward, reverse) * 16 <= maxUniformBytes ? "uniform" : "storage",
    workgroupSize: info.software ? 32 : 64,
  };
}

/** Names of the fused gradient kernel's own buffers. */
export const gradientNames = {
  forward: "weights.up",
  reverse: "weights.down",
  activations: "activations",
  cotangents: "cotangents",
} as const;

/** What |u|² and each |∂u/∂x v_s|² of a pass are worth, beside what it is the gradient of; the mean over the batch is taken. */
export interface Penalty {
  readonly energy: Numeric;
  readonly jacobian: Numeric;
}

/** FLOPs of one particle: 2F a set forward, as much in reverse. */
function gradientFlops({ inputs, dim, layers, width }: GradientNetwork, sets: number, reverse: boolean): number {
  const multiplyAdds = inputs * width + (layers - 1) * width * width + width * dim;
  return 2 * multiplyAdds * sets * (reverse ? 2 : 1);
}

/**
 * One pass of the fused gradient kernel over a batch. See {@link narrowGradientKernel} for the buffers.
 */
export function planNarrowGradient(
  o: GradientShape & {
    capacity: number;
    count: number;
    maxFlops: number;
    firstTangent?: number;
    /** residual: 2/(n·dim); cotangent: the weight of the tangents. */
    scale: Numeric;
    names: {
      inputs: string;
      velocity?: string;
      target?: string;
      cotangent?: string;
      squares?: string;
      xbar?: string;
      probes?: string;
    };
    penalty?: Penalty | undefined;
  },
): Dispatch[] {
  const { network, tiling, task, tangents, kind, weighted, names, count, firstTangent = 0, scale, penalty } = o;
  const how = { ...(penalty && { penalised: true as const }), ...(weighted && { weighted }) };
  const kernel = narrowGradientKernel({ network, tiling, task, tangents, kind, ...how });
  const reverse = task !== "forward";
  const own = gradientNames;
  const buffers = {
    forward_weights: own.forward,
    reverse_weights: reverse ? own.reverse : undefined,
    inputs: names.inputs,
    velocity: names.velocity,
    activations: reverse ? own.activations : undefined,
    cotangents: reverse ? own.cotangents : undefined,
    wanted: names.target,
    squares: names.squares,
    kappa: names.cotangent,
    xbar: names.xbar,
    probes: tangents > 0 && kind !== "basis" ? names.probes : undefined,
  };
  const perSlot = tiling.lanes * tiling.groups;
  const slots = o.capacity / perSlot;
  const flops = perSlot * gradientFlops(network, 1 + tangents, reverse);
  const most = Math.max(4, Math.floor(o.maxFlops / flops / tiling.workgroupSize)) * tiling.workgroupSize;
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < slots; first += most) {
    const now = Math.min(most, slots - first);
    dispatches.push(
      dispatchOf(kernel, {
        params: {
          first,
          slots: now,
          stride: o.capacity / tiling.lanes,
          count,
          first_tangent: firstTangent,
          scale,
          twice: penalty && 2 / count,
          energy: penalty?.energy,
          jacobian: penalty?.jacobian,
        },
        buffers,
        workgroups: gridOf(Math.ceil(now / tiling.workgroupSize)),
        flops: now * flops,
      }),
    );
  }
  return dispatches;
}
