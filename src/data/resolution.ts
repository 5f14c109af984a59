import { item } from "../must.ts";
import type { Normalization } from "./normalization.ts";
import { spacingOfF32 } from "./units.ts";

/** Columns of a spread below so many steps of f32 have lost too much; columns of f64, which samples are put back into, below so many of f64. */
export const leastSteps = { f32: 16, f64: 4096 };

const warned = new WeakSet<Normalization>();

/** Says once of a flow that f32 rows in data units, given or asked for, keep too few digits beside the mean of a column. */
export function warnOfF32(what: string, normalization: Normalization | undefined): void {
  if (!normalization || warned.has(normalization)) return;
  for (const [column, mean] of normalization.mean.entries()) {
    const scale = item(normalization.scale, column);
    const step = spacingOfF32(mean);
    if (step * leastSteps.f32 <= scale) continue;
    warned.add(normalization);
    console.warn(
      `${what}: column ${column} (from 0) of this flow spreads by ${plain(scale)} around ${plain(mean)}, where f32 numbers are ${plain(step)} apart: pass rows as a Float64Array, and take samples with output: "float64"`,
    );
    return;
  }
}

/** Three digits, or all that a large number has before its point. */
export function plain(value: number): string {
  return Math.abs(value) >= 1000 && Math.abs(value) < 1e21
    ? String(Math.round(value))
    : String(Number(value.toPrecision(3)));
}
