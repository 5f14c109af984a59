import {
  drawSourceKernel,
  exportKernel,
  finishLogProbKernel,
  importKernel,
  particleWorkgroup,
  type SourceKind,
  sourceDensityKernel,
} from "../../shaders/particles.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, packParams, u32 } from "../gpu/kernel.ts";

/** Workgroups for one invocation per particle. */
export const perParticle = (particles: number) => gridOf(Math.ceil(particles / particleWorkgroup));
/** The two words of a particle's index. */
export const low = (value: number) => value % 2 ** 32;
export const high = (value: number) => Math.floor(value / 2 ** 32);

/** Rows [count][dim] in `rows` → `state` [dim][capacity]. With `affine`, from data units into the flow's own space. */
export function importParticles(o: {
  count: number;
  capacity: number;
  dim: number;
  rows: string;
  state: string;
  affine?: string | undefined;
}): Dispatch {
  return {
    kernel: importKernel({ affine: o.affine !== undefined }),
    buffers: [o.rows, o.state, ...(o.affine === undefined ? [] : [o.affine])],
    params: packParams([u32(o.count), u32(o.capacity), u32(o.dim)]),
    workgroups: perParticle(o.capacity),
    flops: o.capacity * o.dim * 4,
  };
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
  return {
    kernel: exportKernel({ affine: o.affine !== undefined }),
    buffers: [o.state, o.rows, ...(o.affine === undefined ? [] : [o.affine])],
    params: packParams([u32(o.count), u32(o.capacity), u32(o.dim), u32(o.offset ?? 0)]),
    workgroups: perParticle(o.count),
    flops: o.count * o.dim * 4,
  };
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
  return {
    kernel: drawSourceKernel({ kind: o.kind }),
    buffers: [o.source, o.state],
    params: packParams([
      u32(o.capacity),
      u32(o.dim),
      u32(low(o.first)),
      u32(high(o.first)),
      u32(o.key[0]),
      u32(o.key[1]),
      u32(o.stream),
    ]),
    workgroups: perParticle(o.capacity),
    flops: o.capacity * o.dim * 60,
  };
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
  return {
    kernel: sourceDensityKernel({ kind: o.kind }),
    buffers: [o.source, o.state, o.density],
    params: packParams([u32(o.capacity), u32(o.dim), f32(o.constant)]),
    workgroups: perParticle(o.capacity),
    flops: o.capacity * o.dim * 8,
  };
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
  return {
    kernel: finishLogProbKernel({ standardError: o.standardError !== undefined }),
    buffers: [o.base, o.integral, o.logProb, ...(o.standardError === undefined ? [] : [o.standardError])],
    params: packParams([
      u32(o.count),
      u32(o.capacity),
      u32(o.probes),
      f32(o.sign),
      f32(o.constant),
      u32(o.offset ?? 0),
    ]),
    workgroups: perParticle(o.count),
    flops: o.count * o.probes * 6,
  };
}
