import type { PlannedBuffer } from "../gpu/kernel.ts";
import type { Chunk } from "../ode/engine.ts";
import type { ChunkOutput } from "../schedule/job.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** Names of the outputs of a solve. */
export const outputs = {
  x: "x",
  start: "x0",
  logProb: "logProb",
  standardError: "standardError",
  saved: "saved",
  savedLogProb: "savedLogProb",
  tally: "tally",
  status: "status",
  totals: "adaptive totals",
} as const;

/** Floats per particle of each output that a request has, and how many rows of n particles it has. */
export function shapes(dim: number, request: TrajectoryRequest): Map<string, { floats: number; rows: number }> {
  const tracks = request.logProb.kind !== "none";
  const { mode } = request.divergence;
  const result = new Map([[outputs.x as string, { floats: dim, rows: 1 }]]);
  if (request.wantStart) result.set(outputs.start, { floats: dim, rows: 1 });
  if (tracks) result.set(outputs.logProb, { floats: 1, rows: 1 });
  if (tracks && mode.mode === "probes" && mode.count > 1) result.set(outputs.standardError, { floats: 1, rows: 1 });
  if (request.save) {
    result.set(outputs.saved, { floats: dim, rows: request.save.length });
    if (tracks) result.set(outputs.savedLogProb, { floats: 1, rows: request.save.length });
  }
  return result;
}

/** Buffers of a chunk for these outputs, and where each goes: to the host, or to the chunk's places in the buffer of the whole result. */
export function planOutputs(
  dim: number,
  request: TrajectoryRequest,
  { start, count }: Chunk,
): { buffers: PlannedBuffer[]; outputs: ChunkOutput[] } {
  const all = [...shapes(dim, request)].map(([name, { floats, rows }]): ChunkOutput => {
    const piece = floats * count * 4;
    const buffer = request.resident?.get(name);
    const pieces = Array.from({ length: rows }, (_, k) => ({
      from: k * piece,
      to: (k * request.count + start) * floats * 4,
      bytes: piece,
    }));
    return { name, bytes: rows * piece, ...(buffer && { resident: { buffer, pieces } }) };
  });
  return { buffers: all.map(({ name, bytes }) => ({ name, bytes })), outputs: all };
}
