import type { Numeric } from "../../shaders/interface.ts";
import { stageFloats } from "../../shaders/stage-row.ts";
import { item } from "../must.ts";
import type { Tableau } from "./tableau.ts";

/**
 * The schedule that integrators read, a row per step and stage as `shaders/stage-row.ts` declares it: t + c_i h, h b_i, then h a_ij
 * for every stage but the last. f64 rounded once.
 */
export function schedule({
  tableau,
  times,
}: {
  readonly tableau: Tableau;
  readonly times: Float64Array;
}): Float32Array {
  const stages = tableau.b.length;
  const floats = stageFloats(stages);
  const steps = times.length - 1;
  const rows = new Float32Array(Math.max(1, steps * stages) * floats);
  for (let step = 0; step < steps; step++) {
    const t = item(times, step);
    const h = item(times, step + 1) - t;
    for (let i = 0; i < stages; i++) {
      const c = item(tableau.c, i);
      // c = 1 lands on the next grid time itself, so that rounding never leaves the interval
      const time = c === 1 ? item(times, step + 1) : t + c * h;
      // zeros from the diagonal on
      const a = Array.from({ length: stages - 1 }, (_, j) => h * (item(tableau.a, i)[j] ?? 0));
      rows.set([time, h * item(tableau.b, i), ...a], (step * stages + i) * floats);
    }
  }
  return rows;
}

/** What a schedule says of one stage of one step. */
export interface StageRow {
  readonly time: Numeric;
  /** h b_i. */
  readonly weight: Numeric;
  /** h a_ij for the stages before. */
  readonly a: readonly Numeric[];
}

/** Where the table is `live` the numbers are its entries, which follow its changes. */
export function stageRow(table: Float32Array, stages: number, step: number, stage: number, live = false): StageRow {
  const first = (step * stages + stage) * stageFloats(stages);
  const entry = (at: number): Numeric => (live ? { table, at, by: 1 } : item(table, at));
  return {
    time: entry(first),
    weight: entry(first + 1),
    a: Array.from({ length: stage }, (_, j) => entry(first + 2 + j)),
  };
}
