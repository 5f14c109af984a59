import { item } from "../must.ts";
import type { Normalization } from "./normalization.ts";
import { leastSteps, plain } from "./resolution.ts";
import { type DataRows, ownValue, spacingOfF32 } from "./units.ts";

/** Rows that are looked at, spread over all of them. */
const mostRows = 8192;

/**
 * What is lost of a column in f32, in words that follow its name, where that is so much that nothing can be learned: f32 values too
 * close for their size, f64 values too close even for f64, or values that fall together when they are centred and scaled.
 */
export function lossIn(
  data: DataRows,
  dim: number,
  column: number,
  normalization: Normalization | undefined,
): string | undefined {
  const stride = Math.ceil(data.length / dim / mostRows) * dim;
  const values: number[] = [];
  for (let i = column; i < data.length; i += stride) values.push(data[i] as number);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  if (spread === 0) return undefined;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isDouble = data instanceof Float64Array;
  const [word, step] =
    isDouble && normalization ? (["f64", spacingOfF64(largest)] as const) : (["f32", spacingOfF32(largest)] as const);
  if (step * leastSteps[word] > spread) {
    return `has values around ${plain(mean)}, where ${word} numbers are ${plain(step)} apart, but spreads by only ${plain(spread)}`;
  }
  const before = new Set(values).size;
  const after = new Set(values.map((value) => Math.fround(ownValue(value, normalization, column)))).size;
  if (after * 2 >= before) return undefined;
  return `has ${before} different values, of which ${after} are left when they are centred, scaled by ${plain(normalization ? item(normalization.scale, column) : 1)} and rounded to f32: a few values far away take its digits`;
}

function spacingOfF64(value: number): number {
  return 2 ** (Math.floor(Math.log2(Math.max(value, Number.MIN_VALUE * 2 ** 52))) - 52);
}
