import { type Key, philox, streams } from "./philox.ts";

/** Rounds of the network: four are enough for long numbers (Luby & Rackoff 1988), those of a few rows need more to be mixed. */
export const shuffleRounds = 8;

/** Bits of the numbers that are permuted, of which at most half are no rows. */
export const shuffleBits = (rows: number): number => Math.ceil(Math.log2(rows));

/**
 * The row at place `place` (from 0) in the order of pass `pass` over `rows` rows: in each pass every row has one place. A Feistel network on
 * as many bits as rows take, applied until it gives a row (Black & Rogaway 2002, cycle walking); the twin of the WGSL in
 * shaders/row-draws.ts.
 */
export function shuffledRow(place: number, pass: number, rows: number, key: Key): number {
  const bits = shuffleBits(rows);
  const half = bits >> 1;
  const [lowMask, highMask] = [2 ** half - 1, 2 ** (bits - half) - 1];
  const words = new Uint32Array(4);
  const bitsBy = (own: number, round: number) => {
    philox(own, round, pass >>> 0, streams.rowOrder, key, words);
    return words[0] as number;
  };
  let value = place;
  do {
    let low = value & lowMask;
    let high = value >>> half;
    for (let round = 0; round < shuffleRounds; round += 2) {
      high ^= bitsBy(low, round) & highMask;
      low ^= bitsBy(high, round + 1) & lowMask;
    }
    value = (high << half) | low;
  } while (value >= rows);
  return value;
}
