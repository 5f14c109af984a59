import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { checked, finite, type Schema } from "../options/schema.ts";
import { checkInteger, show } from "../options.ts";

const fields = { bits: { check: finite(), fallback: 0 } } satisfies Schema<{ bits?: number }>;

/**
 * Log-likelihoods in nats as bits per dimension: −log p / (dim · ln 2) + bits. `bits` (default 0) is what the data lost when it was
 * scaled: 8 for 8-bit values that were divided by 256, or were given noise in [0, 1) and then divided.
 *
 * @throws PushforwardError `invalid-argument` for a dim that is no positive integer.
 * @example
 * import { bitsPerDim } from "pushforward";
 * bitsPerDim(-2 * Math.log(2), 2); // 1
 */
export function bitsPerDim(logProb: number, dim: number, options?: { bits?: number }): number;
export function bitsPerDim(logProb: ArrayLike<number>, dim: number, options?: { bits?: number }): Float64Array;
export function bitsPerDim(
  logProb: number | ArrayLike<number>,
  dim: number,
  options: { bits?: number } = {},
): number | Float64Array {
  const { bits } = checked("bitsPerDim", fields, options);
  checkInteger("bitsPerDim: dim", dim, 1);
  const convert = (value: number) => bits - value / (dim * Math.LN2);
  if (typeof logProb === "number") return convert(logProb);
  const list = readable("bitsPerDim: logProb", logProb);
  const bad = isList(list) ? Array.prototype.findIndex.call(list, (value) => typeof value !== "number") : -1;
  if (!isList(list) || bad >= 0)
    throw invalid(
      `bitsPerDim: logProb ${bad >= 0 ? `holds ${show(list[bad])} at index ${bad}` : `is ${show(list)}`}, but it is a number or a list of numbers, in nats`,
    );
  return Float64Array.from(list, convert);
}

function isList(value: unknown): value is ArrayLike<number> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
