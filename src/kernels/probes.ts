import { drawProbesKernel, type ProbeKind } from "../../shaders/probes.ts";
import { type Dispatch, packParams, u32 } from "../gpu/kernel.ts";
import { high, low, perParticle } from "./particles.ts";

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
  return {
    kernel: drawProbesKernel({ kind: o.kind }),
    buffers: [o.probes],
    params: packParams([
      ...[o.capacity, o.dim, low(o.first), high(o.first), o.key[0], o.key[1], o.stream, o.count].map((value) =>
        u32(value),
      ),
    ]),
    workgroups: perParticle(o.capacity),
    flops: o.capacity * o.dim * o.count * 40,
  };
}
