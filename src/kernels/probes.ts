import { dispatchOf } from "../../shaders/dispatch.ts";
import { drawProbesKernel, type ProbeKind } from "../../shaders/probes.ts";
import { drawNumbers } from "../../shaders/random.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { perParticle } from "./particles.ts";

/** Z of particles `first`, `first + 1`, … into `probes` [K][dim][capacity]. */
export function drawProbes(o: {
  kind: ProbeKind;
  capacity: number;
  dim: number;
  count: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  probes: string;
}): Dispatch {
  const { capacity, dim, stream, count } = o;
  return dispatchOf(drawProbesKernel({ kind: o.kind }), {
    params: { capacity, dim, stream, probes: count, ...drawNumbers(o.first, o.key) },
    buffers: { probes: o.probes },
    workgroups: perParticle(capacity),
    flops: capacity * dim * count * 40,
  });
}
