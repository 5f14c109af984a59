import { cosineQuarter, halfPi, leastSquaredRadius, ln2, logarithm, sineQuarter, sqrtHalfBits } from "./polynomials.ts";

/*
 * From 32-bit words to numbers, each the twin of the WGSL function of that name in shaders/random.ts.
 * All arithmetic is f32: `r` stands for the rounding that a GPU does after every operation.
 */
const r = Math.fround;

/** Uniform in (0, 1] with 24 bits: ((bits >> 8) + 1)·2⁻²⁴. Never 0, so that its logarithm is finite. */
export function uniform01(bits: number): number {
  return ((bits >>> 8) + 1) * 2 ** -24;
}

/** +1 where bit `i` (0 to 31) of the word is set, else −1. */
export function rademacher(bits: number, i: number): number {
  return ((bits >>> i) & 1) === 1 ? 1 : -1;
}

/**
 * Integer in [0, n): high word of the 64-bit product bits·n, for 1 ≤ n < 2³².
 * Each value's probability is off by at most 2⁻³² from 1/n.
 */
export function randomIndex(bits: number, n: number): number {
  // 16-bit halves of one factor keep every partial product below 2⁴⁸, hence exact in f64
  const low = (bits & 0xffff) * n;
  const high = (bits >>> 16) * n;
  return Math.floor((high + Math.floor(low / 65536)) / 65536);
}

function horner(coefficients: readonly number[], z: number): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = r(r(sum * z) + (coefficients[i] ?? 0));
  return sum;
}

/** (sin, cos) of (quarter + x)·π/2 for |x| ≤ 1/2 and an integer `quarter`. */
function sinCosQuarterTurns(x: number, quarter: number): [number, number] {
  const z = r(x * x);
  const sine = r(r(x * halfPi.high) + r(x * r(halfPi.low + r(z * horner(sineQuarter, z)))));
  const cosine = r(1 + r(z * horner(cosineQuarter, z)));
  switch (quarter & 3) {
    case 0:
      return [sine, cosine];
    case 1:
      return [cosine, -sine];
    case 2:
      return [-sine, -cosine];
    default:
      return [-cosine, sine];
  }
}

/** (sin 2πu, cos 2πu) in f32 for any finite u: u − round(u) is exact, so large u lose nothing but what u itself has lost. */
export function sinCosTwoPi(u: number): [sine: number, cosine: number] {
  const single = r(u);
  const turn = single - Math.round(single);
  const quarter = Math.round(4 * turn);
  return sinCosQuarterTurns(4 * turn - quarter, quarter);
}

const scratch = new DataView(new ArrayBuffer(4));

/** −2 ln u in f32 for u in (0, 1], at least 2⁻¹⁰⁰. */
function squaredRadius(u: number): number {
  scratch.setFloat32(0, u);
  const offset = scratch.getInt32(0) - sqrtHalfBits;
  const exponent = offset >> 23;
  scratch.setInt32(0, (offset & 0x7fffff) + sqrtHalfBits);
  const f = r(scratch.getFloat32(0) - 1);
  const square = r(f * f);
  const tail = r(r(r(square * f) * horner(logarithm, f)) + r(r(exponent * ln2.low) - r(0.5 * square)));
  const log = r(r(exponent * ln2.high) + r(f + tail));
  return Math.max(r(-2 * log), leastSquaredRadius);
}

/**
 * Two independent standard normals from two words, by Box–Muller: √(−2 ln u)·(cos 2πv, sin 2πv),
 * u = {@link uniform01}(a), v = (b >> 8)·2⁻²⁴. At most 5.77 in size (u has 24 bits).
 */
export function normalPair(a: number, b: number): [number, number] {
  const radius = r(Math.sqrt(squaredRadius(uniform01(a))));
  const angle = b >>> 8;
  const quarter = (angle + 0x200000) >> 22;
  const [sine, cosine] = sinCosQuarterTurns((angle - quarter * 0x400000) * 2 ** -22, quarter);
  return [r(radius * cosine), r(radius * sine)];
}
