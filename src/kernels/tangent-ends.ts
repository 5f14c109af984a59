import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import { endsWorkgroup, penaliseKernel, tangentEndsKernel } from "../../shaders/tangent-ends.ts";
import type { Dispatch } from "../gpu/kernel.ts";

const each = (count: number, work: number) => ({
  workgroups: gridOf(Math.ceil(count / endsWorkgroup)),
  flops: count * work,
});

/** Input rows and output cotangents of a pass's tangents; see {@link tangentEndsKernel}. */
export function planTangentEnds(o: {
  capacity: number;
  count: number;
  dim: number;
  first: number;
  tangents: number;
  weight: number;
  names: { rows: string; top: string; probes?: string | undefined };
}): Dispatch {
  const { capacity, count, dim, first, tangents, weight } = o;
  const { rows, top, probes } = o.names;
  return dispatchOf(tangentEndsKernel({ basis: probes === undefined }), {
    params: { count: capacity, particles: count, dim, first, tangents, weight },
    buffers: { rows, top, probes },
    ...each(capacity, 2 * tangents * dim),
  });
}

/** The penalties of "u" and "jv" [tangents][dim], and their cotangents; see {@link penaliseKernel}. */
export function planPenalise(o: {
  capacity: number;
  count: number;
  dim: number;
  tangents: number;
  penalty: { energy: number; jacobian: number };
  names: { cotangent: string; top: string };
}): Dispatch {
  const { capacity, count, dim, tangents } = o;
  const { energy, jacobian } = o.penalty;
  return dispatchOf(penaliseKernel({}), {
    params: { count: capacity, particles: count, dim, tangents, twice: 2 / count, energy, jacobian },
    buffers: { velocity: "u", products: "jv", ...o.names },
    ...each(capacity, 4 * dim * (1 + tangents)),
  });
}
