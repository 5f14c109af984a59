import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import {
  drawSourceKernel,
  exportKernel,
  finishLogProbKernel,
  importKernel,
  particleWorkgroup,
  type SourceKind,
  sourceDensityKernel,
} from "../../shaders/particles.ts";
import { drawNumbers } from "../../shaders/random.ts";
import type { Dispatch } from "../gpu/kernel.ts";

/** Workgroups for one invocation per particle. */
export const perParticle = (particles: number) => gridOf(Math.ceil(particles / particleWorkgroup));

/** Rows [count][dim] in `rows` → `state` [dim][capacity]. With `affine`, from data units into the flow's own space. */
export function importParticles(o: {
  count: number;
  capacity: number;
  dim: number;
  rows: string;
  state: string;
  affine?: string | undefined;
}): Dispatch {
  const { count, capacity, dim, rows, state, affine } = o;
  return dispatchOf(importKernel({ affine: affine !== undefined }), {
    params: { count, capacity, dim },
    buffers: { rows, state, affine },
    workgroups: perParticle(capacity),
    flops: capacity * dim * 4,
  });
}

/** `state` → rows from row `offset` on. */
export function exportParticles(o: {
  count: number;
  capacity: number;
  dim: number;
  state: string;
  rows: string;
  offset?: number;
  affine?: string | undefined;
}): Dispatch {
  const { count, capacity, dim, state, rows, offset = 0, affine } = o;
  return dispatchOf(exportKernel({ affine: affine !== undefined }), {
    params: { count, capacity, dim, offset },
    buffers: { state, rows, affine },
    workgroups: perParticle(count),
    flops: count * dim * 4,
  });
}

/** X_0 of particles `first`, `first + 1`, … into `state`. */
export function drawSource(o: {
  kind: SourceKind;
  capacity: number;
  dim: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  source: string;
  state: string;
}): Dispatch {
  const { kind, capacity, dim, stream, source, state } = o;
  return dispatchOf(drawSourceKernel({ kind }), {
    params: { capacity, dim, stream, ...drawNumbers(o.first, o.key) },
    buffers: { source, state },
    workgroups: perParticle(capacity),
    flops: capacity * dim * 60,
  });
}

/** log p_0 of `state` into `density`; `constant` is the part that does not depend on x. */
export function sourceDensity(o: {
  kind: SourceKind;
  capacity: number;
  dim: number;
  constant: number;
  source: string;
  state: string;
  density: string;
}): Dispatch {
  const { kind, capacity, dim, constant, source, state, density } = o;
  return dispatchOf(sourceDensityKernel({ kind }), {
    params: { capacity, dim, constant },
    buffers: { source, state, density },
    workgroups: perParticle(capacity),
    flops: capacity * dim * 8,
  });
}

/** log p = base + (sign · mean over probes of the integral + constant), written from element `offset` of `logProb` on. */
export function finishLogProb(o: {
  count: number;
  capacity: number;
  probes: number;
  sign: 1 | -1;
  constant: number;
  offset?: number;
  base: string;
  integral: string;
  logProb: string;
  standardError?: string | undefined;
}): Dispatch {
  const { count, capacity, probes, sign, constant, offset = 0, base, integral, logProb, standardError } = o;
  return dispatchOf(finishLogProbKernel({ standardError: standardError !== undefined }), {
    params: { count, capacity, probes, sign, constant, offset },
    buffers: { base, integral, log_prob: logProb, standard_error: standardError },
    workgroups: perParticle(count),
    flops: count * probes * 6,
  });
}
