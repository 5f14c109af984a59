import {
  bendKernel,
  bendWorkgroup,
  coupleKernel,
  penaliseKernel,
  scaleTangentsKernel,
  tangentEndsKernel,
} from "../../shaders/bend.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, type Kernel, packParams, u32 } from "../gpu/kernel.ts";

type Field = readonly ["u32" | "f32", number];

const each = (kernel: Kernel, buffers: string[], count: number, fields: Field[], work: number): Dispatch => ({
  kernel,
  buffers,
  params: packParams([u32(count), ...fields]),
  workgroups: gridOf(Math.ceil(count / bendWorkgroup)),
  flops: count * work,
});

/** φ, φ′ and φ″ of `width` rows of sums. */
export function planBend(o: {
  activation: string;
  width: number;
  capacity: number;
  names: { sums: string; value: string; slope: string; curvature: string };
}): Dispatch {
  const { names } = o;
  const kernel = bendKernel({ activation: o.activation });
  return each(kernel, [names.sums, names.value, names.slope, names.curvature], (o.width * o.capacity) / 4, [], 80);
}

/** ḣ_s = φ′ ż_s for `tangents` matrices of `width` rows. */
export function planScaleTangents(o: {
  tangents: number;
  width: number;
  capacity: number;
  names: { slope: string; raw: string; scaled: string };
}): Dispatch {
  const { names } = o;
  const kernel = scaleTangentsKernel({ tangents: o.tangents });
  return each(kernel, [names.slope, names.raw, names.scaled], (o.width * o.capacity) / 4, [], 4 * o.tangents);
}

/** The way back through an activation, in place; see {@link coupleKernel}. */
export function planCouple(o: {
  tangents: number;
  width: number;
  capacity: number;
  names: { slope: string; curvature: string; raw: string; tangentCotangents: string; cotangents: string };
}): Dispatch {
  const { names } = o;
  return each(
    coupleKernel({ tangents: o.tangents }),
    [names.slope, names.curvature, names.raw, names.tangentCotangents, names.cotangents],
    (o.width * o.capacity) / 4,
    [],
    12 * o.tangents + 12,
  );
}

/** Input rows and output cotangents of a pass's tangents; see {@link tangentEndsKernel}. */
export function planTangentEnds(o: {
  capacity: number;
  count: number;
  dim: number;
  inputs: number;
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
    [u32(o.count), u32(o.dim), u32(o.inputs), u32(o.first), u32(o.tangents), f32(o.weight)],
    2 * o.tangents * o.inputs,
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
