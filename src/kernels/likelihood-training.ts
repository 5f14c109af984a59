import { dispatchOf } from "../../shaders/dispatch.ts";
import { numbered } from "../../shaders/interface.ts";
import {
  combineKernel,
  drawRowsKernel,
  likelihoodWorkgroup,
  sourceScoreKernel,
} from "../../shaders/likelihood-training.ts";
import type { SourceKind } from "../../shaders/particles.ts";
import { drawNumbers } from "../../shaders/random.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { groupsOf, mostBuffers } from "./stages.ts";

const perSample = (capacity: number, work: number): Pick<Dispatch, "workgroups" | "flops"> => ({
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
  const { capacity, dim, count, rows, stream, context } = o;
  const { data, affine, state, labels, context: contexts } = o.names;
  return dispatchOf(drawRowsKernel({ labels: labels !== undefined, context: contexts !== undefined }), {
    params: { capacity, dim, count, rows, stream, context, ...drawNumbers(o.first, o.key) },
    buffers: {
      ...{ data, affine, state },
      all_labels: labels?.[0],
      labels: labels?.[1],
      all_context: contexts?.[0],
      context: contexts?.[1],
    },
    ...perSample(capacity, 4 * dim + 60),
  });
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
  const { kind, capacity, dim, count, scale } = o;
  return dispatchOf(sourceScoreKernel({ kind }), {
    params: { capacity, dim, count, scale },
    buffers: o.names,
    ...perSample(capacity, 4 * dim),
  });
}

/** `target` = Σ weight·rows over [dim][capacity]; no term makes it zero. Terms beyond the bindings of a kernel are added by others. */
export function planCombine(o: {
  capacity: number;
  dim: number;
  target: string;
  terms: readonly { readonly weight: number; readonly rows: string }[];
}): Dispatch[] {
  const { capacity, dim } = o;
  return groupsOf(o.terms.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const terms = o.terms.slice(start, end);
    const weights = terms.map(({ weight }) => weight);
    const rows = terms.map(({ rows }) => rows);
    return dispatchOf(combineKernel({ terms: terms.length, add: start > 0 }), {
      params: { capacity, dim, ...numbered("w", weights) },
      buffers: { target_rows: o.target, ...numbered("rows", rows) },
      ...perSample(capacity, 2 * terms.length * dim),
    });
  });
}
