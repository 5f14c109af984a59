import { drawProbes } from "../../shaders/probes.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { must } from "../must.ts";
import { type Key, streams } from "../random/philox.ts";
import { type Chunk, type DivergenceMode, names } from "./engine.ts";

/** The probes of a chunk of `total` particles, if it has any: its part of the given `vectors` [probes, n, dim], or draws, by index from `first` on. */
export function planProbes(o: {
  mode: DivergenceMode;
  vectors?: Float32Array | undefined;
  total: number;
  dim: number;
  chunk: Chunk;
  first: number;
  key: Key;
}): { buffers: PlannedBuffer[]; dispatches: Dispatch[] } {
  const { mode, dim, chunk, first, key } = o;
  if (mode.mode !== "probes") return { buffers: [], dispatches: [] };
  const { kind, count } = mode;
  const { capacity } = chunk;
  const { probes } = names;
  if (kind === "given") {
    const data = featureMajor(must(o.vectors, "the probes that were given"), o.total, dim, count, chunk);
    return { buffers: [{ name: probes, bytes: data.byteLength, data }], dispatches: [] };
  }
  return {
    buffers: [{ name: probes, bytes: count * dim * capacity * 4 }],
    dispatches: [drawProbes({ kind, capacity, dim, count, first, key, stream: streams.probe, probes })],
  };
}

/** Probe vectors [probes, n, dim] of a chunk, as the kernels want them: [probes][dim][capacity]. */
function featureMajor(
  vectors: Float32Array,
  n: number,
  dim: number,
  probes: number,
  { start, count, capacity }: Chunk,
): Float32Array {
  if (vectors.length !== probes * n * dim)
    throw new Error(`internal: ${vectors.length} numbers are no ${probes} probes`);
  const out = new Float32Array(probes * dim * capacity);
  for (let k = 0; k < probes; k++) {
    for (let p = 0; p < count; p++) {
      for (let i = 0; i < dim; i++)
        out[(k * dim + i) * capacity + p] = vectors[(k * n + start + p) * dim + i] as number;
    }
  }
  return out;
}
