import type { JacobianTexts } from "../../shaders/field.ts";
import type { PlannedBuffer } from "../gpu/kernel.ts";
import { schedule } from "../solvers/schedule.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, type Integration, names } from "./engine.ts";
import type { TimeGrid } from "./grid.ts";

/** The steps of a grid as engines take them; none where they are adaptive, which have buffers and coefficients of their own. */
export function integrationOf(grid: TimeGrid, divergence: DivergenceMode, jacobian?: JacobianTexts): Integration {
  if (grid.adaptive) return { stages: 0, freeStages: false, schedule: new Float32Array(4), divergence };
  const { b } = grid.tableau;
  // the tangents of a stage without a weight are those of the next ones, too
  const isDiscrete = divergence.mode === "discrete";
  const freeStages = !isDiscrete && b.includes(0);
  return { stages: b.length, freeStages, schedule: schedule(grid), divergence, ...(isDiscrete && { jacobian }) };
}

/** Rows of a state, and of the Jacobian of the step behind it. */
export function stateRows(dim: number, { mode }: DivergenceMode): number {
  return mode === "discrete" ? dim * (1 + dim) : dim;
}

/** The state, the table of steps, and what the field needs to be integrated. */
export function integrationBuffers(
  engine: Engine,
  chunk: Chunk,
  conditions: Conditions,
  { schedule: table, divergence, stages }: Integration,
): PlannedBuffer[] {
  return [
    { name: names.state, bytes: stateRows(engine.dim, divergence) * chunk.capacity * 4 },
    { name: names.schedule, bytes: table.byteLength, data: table },
    ...engine.buffers(chunk, conditions, divergence, stages),
  ];
}
