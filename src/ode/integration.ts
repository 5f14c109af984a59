import type { PlannedBuffer } from "../gpu/kernel.ts";
import { schedule } from "../solvers/schedule.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, type Integration, names } from "./engine.ts";
import type { TimeGrid } from "./grid.ts";

/** The steps of a grid as engines take them; none where they are adaptive, which have buffers and coefficients of their own. */
export function integrationOf(grid: TimeGrid, divergence: DivergenceMode): Integration {
  if (grid.adaptive) return { stages: 0, freeStages: false, schedule: new Float32Array(4), divergence };
  const { b } = grid.tableau;
  return { stages: b.length, freeStages: b.includes(0), schedule: schedule(grid), divergence };
}

/** The state, the table of steps, and what the field needs to be integrated. */
export function integrationBuffers(
  engine: Engine,
  chunk: Chunk,
  conditions: Conditions,
  { schedule: table, divergence, stages }: Integration,
): PlannedBuffer[] {
  return [
    { name: names.state, bytes: engine.dim * chunk.capacity * 4 },
    { name: names.schedule, bytes: table.byteLength, data: table },
    ...engine.buffers(chunk, conditions, divergence, stages),
  ];
}
