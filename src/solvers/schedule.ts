import { stageFloats } from "../../shaders/stage-row.ts";
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
    const t = times[step] ?? 0;
    const h = (times[step + 1] ?? 0) - t;
    for (let i = 0; i < stages; i++) {
      const c = tableau.c[i] ?? 0;
      // c = 1 lands on the next grid time itself, so that rounding never leaves the interval
      const time = c === 1 ? (times[step + 1] ?? 0) : t + c * h;
      const a = Array.from({ length: stages - 1 }, (_, j) => h * (tableau.a[i]?.[j] ?? 0));
      rows.set([time, h * (tableau.b[i] ?? 0), ...a], (step * stages + i) * floats);
    }
  }
  return rows;
}

/** What a schedule says of one stage of one step. */
export interface StageRow {
  readonly time: number;
  /** h b_i. */
  readonly weight: number;
  /** h a_ij for the stages before. */
  readonly a: readonly number[];
}

export function stageRow(table: Float32Array, stages: number, step: number, stage: number): StageRow {
  const at = (step * stages + stage) * stageFloats(stages);
  const [time = 0, weight = 0, ...a] = table.subarray(at, at + 2 + stage);
  return { time, weight, a };
}
