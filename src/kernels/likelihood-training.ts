import {
  combineKernel,
  drawRowsKernel,
  likelihoodWorkgroup,
  sourceScoreKernel,
} from "../../shaders/likelihood-training.ts";
import type { SourceKind } from "../../shaders/particles.ts";
import { type Dispatch, f32, type Kernel, packParams, u32 } from "../gpu/kernel.ts";
import { groupsOf, mostBuffers } from "./stages.ts";

type Field = readonly ["u32" | "f32", number];

const perSample = (
  kernel: Kernel,
  buffers: readonly (string | undefined)[],
  capacity: number,
  dim: number,
  fields: Field[],
  work: number,
): Dispatch => ({
  kernel,
  buffers: buffers.filter((name) => name !== undefined),
  params: packParams([u32(capacity), u32(dim), ...fields]),
  workgroups: [Math.ceil(capacity / likelihoodWorkgroup)],
  flops: capacity * work,
});

/** Rows of the data for samples `first`, `first + 1`, … of the training, into `state`. */
export function planDrawRows(o: {
  capacity: number;
  dim: number;
  count: number;
  rows: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  context: number;
  names: { data: string; affine: string; state: string; labels?: [string, string]; context?: [string, string] };
}): Dispatch {
  const { names } = o;
  return perSample(
    drawRowsKernel({ labels: names.labels !== undefined, context: names.context !== undefined }),
    [names.data, names.affine, names.state, ...(names.labels ?? []), ...(names.context ?? [])],
    o.capacity,
    o.dim,
    [o.count, o.rows, o.first % 2 ** 32, Math.floor(o.first / 2 ** 32), o.key[0], o.key[1], o.stream, o.context].map(
      (value) => u32(value),
    ),
    4 * o.dim + 60,
  );
}

/** −scale·∇ log p_0 of `state` into `adjoint`. */
export function planSourceScore(o: {
  kind: SourceKind;
  capacity: number;
  dim: number;
  count: number;
  scale: number;
  names: { source: string; state: string; adjoint: string };
}): Dispatch {
  const { names } = o;
  return perSample(
    sourceScoreKernel({ kind: o.kind }),
    [names.source, names.state, names.adjoint],
    o.capacity,
    o.dim,
    [u32(o.count), f32(o.scale)],
    4 * o.dim,
  );
}

/** `target` = Σ weight·rows over [dim][capacity]; no term makes it zero. Terms beyond the bindings of a kernel are added by others. */
export function planCombine(o: {
  capacity: number;
  dim: number;
  target: string;
  terms: readonly { readonly weight: number; readonly rows: string }[];
}): Dispatch[] {
  return groupsOf(o.terms.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const terms = o.terms.slice(start, end);
    return perSample(
      combineKernel({ terms: terms.length, add: start > 0 }),
      [o.target, ...terms.map(({ rows }) => rows)],
      o.capacity,
      o.dim,
      terms.map(({ weight }) => f32(weight)),
      2 * terms.length * o.dim,
    );
  });
}
