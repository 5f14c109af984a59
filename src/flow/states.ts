import { exportParticles, importParticles } from "../../shaders/import-export.ts";
import type { SourceKernels } from "../../shaders/particles.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { type Chunk, names } from "../ode/engine.ts";
import { slice } from "../ode/slice.ts";
import { seedKey, streams } from "../random/philox.ts";
import type { Rows } from "./rows.ts";
import type { SourceSpec } from "./source.ts";

/*
 * How states come into a chunk, from rows of the caller or as draws of the source, and how they leave it as rows again. States are
 * [dim][capacity], in "state" unless another buffer is named. Rows that are in data units are changed by mean and scale, `affine`.
 */

export const affineName = "affine";

/** The buffer with the numbers by which units change. */
export function affineBuffer(affine: Float32Array): PlannedBuffer {
  return { name: affineName, bytes: affine.byteLength, data: affine };
}

export const sourceName = "source";

/** The buffer with the numbers of the source that its density is made of. */
export const densityName = ({ densityRows }: SourceSpec) => (densityRows ? "source density" : sourceName);

/** The buffers with the numbers of the source. */
export function sourceBuffers({ rows, densityRows }: SourceSpec): PlannedBuffer[] {
  const buffer = (name: string, data: Float32Array) => ({ name, bytes: data.byteLength, data });
  return [buffer(sourceName, rows), ...(densityRows ? [buffer("source density", densityRows)] : [])];
}

/** A chunk's part of the caller's rows, which go to the buffer `rows`, as states. */
export function planImport(
  all: Rows,
  { start, count, capacity }: Chunk,
  dim: number,
  { rows = "rows", state = names.state as string, isData = false } = {},
): { buffers: PlannedBuffer[]; dispatches: Dispatch[] } {
  const affine = isData ? affineName : undefined;
  return {
    buffers: [slice(rows, all, start, count, dim)],
    dispatches: [importParticles({ count, capacity, dim, rows, state, affine })],
  };
}

/** Draws of the source as states: of particles `first`, `first + 1`, … */
export function planDraws(
  { kind, parts }: SourceSpec,
  { capacity }: Chunk,
  dim: number,
  first: number,
  seed: number,
  { drawSource }: SourceKernels,
): Dispatch {
  const [key, stream] = [seedKey(seed), streams.source];
  return drawSource({ kind, parts, capacity, dim, first, key, stream, source: sourceName, state: names.state });
}

/** States as rows of the buffer `rows`, from row `offset` on. */
export function planExport(
  { count, capacity }: Chunk,
  dim: number,
  rows: string,
  { state = names.state as string, offset = 0, isData = false } = {},
): Dispatch {
  const affine = isData ? affineName : undefined;
  return exportParticles({ count, capacity, dim, state, rows, offset, affine });
}
