// What a browser loads for flows with a transform: how rows of data come into a chunk and leave it, and what log p gains.
import { addLogDeterminant, exportBound, importBound, logDeterminant } from "../../shaders/transform.ts";
import { spaceOf } from "../data/spaces.ts";
import { blocks, sizeOf, type Transform } from "../data/transform.ts";
import { rowsInFlow } from "../data/transform-maps.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { must } from "../must.ts";
import { type Chunk, names } from "../ode/engine.ts";
import { slice } from "../ode/slice.ts";
import type { Part } from "./part.ts";
import { isBuffer, type Rows } from "./rows.ts";
import { affineName } from "./states.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

export { rowsOfData } from "../data/transform-maps.ts";

const [space, logDet] = ["space", "log det"];

/** The numbers of a transform as kernels read them: see shaders/transform.ts. */
function spaceBuffers(transform: Transform, dim: number, { capacity }: Chunk): PlannedBuffer[] {
  const data = new Float32Array(5 * dim);
  for (const [first, one] of blocks(transform))
    for (let axis = first; axis < first + sizeOf(one); axis++)
      for (const [row, value] of spaceOf(one).numbers(one).entries()) data[row * dim + axis] = value;
  return [
    { name: space, bytes: data.byteLength, data },
    { name: logDet, bytes: capacity * 4 },
  ];
}

/** What a chunk has of its space: the numbers, and log |det ∂y/∂x| of rows whose log p is found backward. */
export function planSpace({ transform, logProb }: TrajectoryRequest, chunk: Chunk, dim: number): Part {
  return {
    buffers: spaceBuffers(must(transform, "a transform"), dim, chunk),
    dispatches: logProb.kind === "backward" ? [planDeterminant(chunk, dim)] : [],
  };
}

/** A request whose rows of data the host has brought into the flow's own space: f64 keeps their digits near its edge, and names a row outside. */
export function freed(request: TrajectoryRequest): TrajectoryRequest {
  const { what, start, unitsIn } = request;
  if (unitsIn === "flow" || !("rows" in start) || isBuffer(start.rows)) return request;
  const rows = rowsInFlow(what, "x", start.rows, request);
  return { ...request, start: { ...start, rows }, unitsIn: "flow" };
}

/** A chunk's part of the caller's rows of data as states; those of which the device finds that they are outside become NaN. */
export function planFree(all: Rows, chunk: Chunk, dim: number): { buffers: PlannedBuffer[]; dispatches: Dispatch[] } {
  const { start, count, capacity } = chunk;
  return {
    buffers: [slice("rows", all, start, count, dim)],
    dispatches: [importBound({ count, capacity, dim, rows: "rows", affine: affineName, space, state: names.state })],
  };
}

/** States as rows of data, from row `offset` of the buffer `rows` on. */
export function planBound({ count, capacity }: Chunk, dim: number, rows: string, offset: number): Dispatch {
  return exportBound({ count, capacity, dim, offset, state: names.state, affine: affineName, space, rows });
}

/** log |det ∂y/∂x| of the states of this moment, for {@link planGain}. */
function planDeterminant({ capacity }: Chunk, dim: number): Dispatch {
  return logDeterminant({ capacity, dim, state: names.state, affine: affineName, space, logDet });
}

/** Has log p be that of the data; of a solve forward these are the states of this moment, else those that it began with. */
export function planGain(chunk: Chunk, dim: number, isForward: boolean, logProb: string, offset: number): Dispatch[] {
  const gain = addLogDeterminant({ count: chunk.count, offset, logDet, logProb });
  return isForward ? [planDeterminant(chunk, dim), gain] : [gain];
}
