import { lossIn } from "../src/data/lost-digits.ts";
import { fitNormalization, type Normalization } from "../src/data/normalization.ts";
import { leastSteps } from "../src/data/resolution.ts";
import { spacingOfF32 } from "../src/data/units.ts";
import { PushforwardError } from "../src/errors.ts";
import { item } from "../src/must.ts";
import { leastNormal } from "../src/options.ts";
import { columnsOption } from "./csv-shape.ts";
import { shown } from "./csv-text.ts";
import { count } from "./report.ts";

/**
 * Mean and scale of each column of the rows that are trained on, in f64. Throws, with the column's name and the option that leaves
 * it out, for one that has no spread in them, or too little beside its size to be told apart.
 *
 * @param held rows that are kept from the training
 */
export function fitColumns(
  name: string,
  columns: readonly string[],
  kept: Float64Array,
  held: Float64Array,
): Normalization {
  const dim = columns.length;
  const faults = columns.map((_, column) => constantFault(kept, held, dim, column));
  const normalization = faults.every((fault) => fault === undefined) ? fitNormalization(kept, dim) : undefined;
  if (normalization) {
    for (let column = 0; column < dim; column++) faults[column] = scaleFault(kept, dim, column, normalization);
    if (faults.every((fault) => fault === undefined)) return normalization;
  }
  const lines = columns.flatMap((column, i) => (faults[i] === undefined ? [] : [`  ${shown(column)} ${faults[i]}`]));
  const others = columns.filter((_, i) => faults[i] === undefined);
  const way =
    others.length > 0 ? [`Leave ${lines.length === 1 ? "it" : "them"} out:`, `  ${columnsOption(others)}`] : [];
  throw new PushforwardError(
    "invalid-argument",
    [
      `${name} has ${lines.length === 1 ? "a column" : "columns"} of which nothing can be learned:`,
      ...lines,
      ...way,
    ].join("\n"),
  );
}

function constantFault(kept: Float64Array, held: Float64Array, dim: number, column: number): string | undefined {
  const first = item(kept, column);
  const isFirst = (rows: Float64Array) => {
    for (let i = column; i < rows.length; i += dim) if (rows[i] !== first) return false;
    return true;
  };
  if (!isFirst(kept)) return undefined;
  const all = `is ${first} in all ${count(kept.length / dim)} rows that are trained on`;
  return isFirst(held) ? all : `${all}; what differs is among the rows that --holdout takes`;
}

function scaleFault(kept: Float64Array, dim: number, column: number, normalization: Normalization): string | undefined {
  const scale = item(normalization.scale, column);
  if (scale < leastNormal)
    return `spreads by only ${scale.toPrecision(3)}, which is 0 on devices: they calculate in f32, so give it in other units`;
  const loss = lossIn(kept, dim, column, normalization);
  if (loss === undefined) return undefined;
  return `${loss}: are these ids? Else take an offset off, or leave rows out that are far away`;
}

/** Throws where f32 numbers beside the mean of a column are too far apart to hold its samples. */
export function checkSingles(
  path: string,
  columns: readonly string[],
  normalization: Normalization | undefined,
  ways: string,
): void {
  if (!normalization) return;
  for (const [i, mean] of normalization.mean.entries()) {
    const scale = item(normalization.scale, i);
    const step = spacingOfF32(mean);
    if (step * leastSteps.f32 <= scale) continue;
    throw new PushforwardError(
      "invalid-argument",
      `${shown(path)} would hold f32 numbers, which are ${step} apart around ${mean}, but the column ${shown(item(columns, i))} spreads by only ${scale.toPrecision(3)}: ${ways}`,
    );
  }
}
