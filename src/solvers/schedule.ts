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
