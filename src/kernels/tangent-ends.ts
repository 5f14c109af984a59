import { endsWorkgroup, penaliseKernel, tangentEndsKernel } from "../../shaders/tangent-ends.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, type Kernel, packParams, u32 } from "../gpu/kernel.ts";

type Field = readonly ["u32" | "f32", number];

const each = (kernel: Kernel, buffers: string[], count: number, fields: Field[], work: number): Dispatch => ({
  kernel,
  buffers,
  params: packParams([u32(count), ...fields]),
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
  const { names } = o;
  return each(
    tangentEndsKernel({ basis: names.probes === undefined }),
    [names.rows, names.top, ...(names.probes === undefined ? [] : [names.probes])],
    o.capacity,
    [u32(o.count), u32(o.dim), u32(o.first), u32(o.tangents), f32(o.weight)],
    2 * o.tangents * o.dim,
  );
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
  const { names, penalty } = o;
  return each(
    penaliseKernel({}),
    ["u", "jv", names.cotangent, names.top],
    o.capacity,
    [u32(o.count), u32(o.dim), u32(o.tangents), f32(2 / o.count), f32(penalty.energy), f32(penalty.jacobian)],
    4 * o.dim * (1 + o.tangents),
  );
}
