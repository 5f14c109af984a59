import { checkFinite, checkInteger } from "../options.ts";

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
  { bits = 0 }: { bits?: number } = {},
): number | Float64Array {
  checkInteger("bitsPerDim: dim", dim, 1);
  checkFinite("bitsPerDim: bits", bits);
  const convert = (value: number) => bits - value / (dim * Math.LN2);
  return typeof logProb === "number" ? convert(logProb) : Float64Array.from(logProb, convert);
}
