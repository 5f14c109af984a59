import { rademacher } from "./draws.ts";
import { fill, type Key } from "./philox.ts";

/**
 * Signs ±1, `[count, perParticle]`: value j of particle i is bit j mod 32 of word ⌊(j mod 128)/32⌋ of draw `firstDraw` + ⌊j/128⌋.
 * Bit-equal to the WGSL twin.
 */
export function rademachers(
  key: Key,
  stream: number,
  firstParticle: number,
  count: number,
  perParticle: number,
  firstDraw = 0,
): Float32Array {
  return fill(key, stream, firstParticle, count, perParticle, firstDraw, 128, (words, values) => {
    for (let j = 0; j < 128; j++) values[j] = rademacher(words[j >> 5] as number, j & 31);
  });
}
