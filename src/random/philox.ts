import { invalid } from "../errors.ts";
import { show } from "../options.ts";
import { firstNormal, uniform01, writeNormalPair } from "./draws.ts";

export { normalPair, randomIndex, uniform01 } from "./draws.ts";

/*
 * Random numbers without state: every value is a function of (seed, stream, particle index, draw), so chunks, machines and the
 * GPU's twin (shaders/random.ts) agree, and skipping ahead costs nothing. Philox4x32-10 of Salmon et al. 2011.
 */

/** Which use a draw belongs to: the last word of the counter. Two uses never share a stream, so one seed serves all of them. */
export const streams = {
  /** x_0 of sampling: value j of particle i. */
  source: 0,
  /** Hutchinson's probes. */
  probe: 1,
  /** Row of the data that a training sample takes. */
  batchIndex: 2,
  /** Time of a training sample. */
  batchTime: 3,
  /** x_0 of a training sample. */
  batchSource: 4,
  /** Initial weights. */
  initialisation: 5,
  /** {@link toyData}. */
  toyData: 6,
  /** Whether a training sample loses its label (for guidance). */
  labelDropout: 7,
  /** Frequencies of Fourier features. */
  frequencies: 8,
  /** Noise that is added to a row of the data where a training sample takes it. */
  rowNoise: 9,
  /** Times of the solver's steps in a training by likelihood. */
  stepTimes: 10,
  /** Order of the rows in a pass over the data. */
  rowOrder: 11,
  /** Noise of a step of an SDE: {@link shaders/stochastic.ts}. */
  diffusion: 13,
  /** Noise of a bridge between the ends of a training pair. */
  bridge: 12,
  /** Pair of a pool that a training sample takes. */
  pair: 16,
  /** Column of a transport plan that a source sample is paired with. */
  plan: 17,
  /** Whether a training sample loses its context (for guidance). */
  contextDropout: 18,
  /** Length of a training sample's shortcut. */
  shortcut: 19,
  /** Rows at which the components of a fitted mixture begin. */
  mixture: 20,
  /** Lines of the sliced Wasserstein distance. */
  projection: 32,
  /** Folds, first weights and batches of the classifier that tells samples apart. */
  classifier: 33,
  /** What makes the rank of a parameter among draws a number of (0, 1). */
  rankTie: 34,
  /** Random points of TARP. */
  reference: 35,
} as const;

/** Two 32-bit words: low, high. */
export type Key = readonly [low: number, high: number];

/**
 * Splits a seed into the generator's key.
 *
 * @throws PushforwardError `invalid-argument` unless the seed is an integer from 0 to 2⁵³ − 1.
 */
export function seedKey(seed: number, name = "seed"): Key {
  if (typeof seed !== "number" || !Number.isSafeInteger(seed) || seed < 0) {
    throw invalid(`${name} is ${show(seed)}, but it is an integer from 0 to 2^53 - 1: pass for example seed: 7`);
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/** High word of the 64-bit product of two words, from products of their halves: no sum of these exceeds 32 bits. */
function highWord(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const carry = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/**
 * Philox4x32-10: four 32-bit words for a counter (particle index low, high, draw, stream) under a key; written into `out`.
 */
export function philox(c0: number, c1: number, c2: number, c3: number, key: Key, out: Uint32Array): void {
  // signed words, whose bits are all that counts: engines keep these in registers
  let k0 = key[0] | 0;
  let k1 = key[1] | 0;
  for (let round = 0; round < 10; round++) {
    const next0 = highWord(0xcd9e8d57, c2) ^ c1 ^ k0;
    const next2 = highWord(0xd2511f53, c0) ^ c3 ^ k1;
    c1 = Math.imul(0xcd9e8d57, c2);
    c3 = Math.imul(0xd2511f53, c0);
    c0 = next0;
    c2 = next2;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/**
 * Rows `[count, perParticle]` of draws: a particle's come from blocks of four words, from draw `firstDraw` on. `write` puts what comes of
 * a block, `wanted` values, from `at` on.
 */
function drawn(
  write: (words: Uint32Array, rows: Float32Array, at: number, wanted: number) => void,
  key: Key,
  stream: number,
  firstParticle: number,
  count: number,
  perParticle: number,
  firstDraw = 0,
): Float32Array {
  const words = new Uint32Array(4);
  const rows = new Float32Array(count * perParticle);
  for (let i = 0; i < count; i++) {
    const particle = firstParticle + i;
    const high = Math.floor(particle / 2 ** 32);
    for (let j = 0; j < perParticle; j += 4) {
      philox(particle >>> 0, high, firstDraw + j / 4, stream, key, words);
      write(words, rows, i * perParticle + j, Math.min(4, perParticle - j));
    }
  }
  return rows;
}

type Draws = Parameters<typeof drawn> extends [unknown, ...infer Rest] ? Rest : never;

/**
 * Standard normals `[count, perParticle]`: value j of particle i is lane j mod 4 of draw `firstDraw` + ⌊j/4⌋.
 * Agrees with the WGSL twin within a few units in the last place.
 */
export function normals(...draws: Draws): Float32Array {
  return drawn(
    (words, rows, at, wanted) => {
      for (let k = 0; k < wanted; k += 2) {
        const [a, b] = [words[k] as number, words[k + 1] as number];
        if (k + 1 < wanted) writeNormalPair(a, b, rows, at + k);
        else rows[at + k] = firstNormal(a, b);
      }
    },
    ...draws,
  );
}

/** Uniforms in (0, 1], `[count, perParticle]`, laid out as {@link normals}. Bit-equal to the WGSL twin. */
export function uniforms(...draws: Draws): Float32Array {
  return drawn(
    (words, rows, at, wanted) => {
      for (let k = 0; k < wanted; k++) rows[at + k] = uniform01(words[k] as number);
    },
    ...draws,
  );
}
