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

type Four = readonly [number, number, number, number];
type Eight = readonly [number, number, number, number, ...Four];

/** Horner's scheme over four coefficients and a sum of those that follow; written out, as a million weights are drawn in 0.1 s. */
function horner(c: Four | Eight, z: number, rest: number): number {
  return r(r(r(r(r(r(r(r(rest * z) + c[3]) * z) + c[2]) * z) + c[1]) * z) + c[0]);
}

const logarithmRest: Four = [logarithm[4], logarithm[5], logarithm[6], logarithm[7]];

/** sin(πx/2) and cos(πx/2) for |x| ≤ 1/2, z = x². */
const sineOf = (x: number, z: number) =>
  r(r(x * halfPi.high) + r(x * r(halfPi.low + r(z * horner(sineQuarter, z, 0)))));
const cosineOf = (z: number) => r(1 + r(z * horner(cosineQuarter, z, 0)));

/** One f32 and its bits. */
const single = new Float32Array(1);
const bitsOf = new Int32Array(single.buffer);

/** −2 ln u in f32 for u in (0, 1], at least 2⁻¹⁰⁰. */
function squaredRadius(u: number): number {
  single[0] = u;
  const offset = (bitsOf[0] as number) - sqrtHalfBits;
  const exponent = offset >> 23;
  bitsOf[0] = (offset & 0x7fffff) + sqrtHalfBits;
  const f = r((single[0] as number) - 1);
  const square = r(f * f);
  const tail = r(
    r(r(square * f) * horner(logarithm, f, horner(logarithmRest, f, 0))) + r(r(exponent * ln2.low) - r(0.5 * square)),
  );
  const log = r(r(exponent * ln2.high) + r(f + tail));
  return Math.max(r(-2 * log), leastSquaredRadius);
}

/**
 * Two independent standard normals from two words, by Box–Muller: √(−2 ln u)·(cos 2πv, sin 2πv),
 * u = {@link uniform01}(a), v = (b >> 8)·2⁻²⁴. At most 5.77 in size (u has 24 bits).
 */
export function normalPair(a: number, b: number): [number, number] {
  writeNormalPair(a, b, pair, 0);
  return [pair[0] as number, pair[1] as number];
}

const pair = new Float32Array(2);

/** Words are turned in quarters: (quarter + x)·π/2 with |x| ≤ 1/2. */
const quarterOf = (angle: number) => (angle + 0x200000) >> 22;
const restOf = (angle: number, quarter: number) => (angle - quarter * 0x400000) * 2 ** -22;

/** The first of {@link normalPair}, without the second. */
export function firstNormal(a: number, b: number): number {
  const radius = r(Math.sqrt(squaredRadius(uniform01(a))));
  const angle = b >>> 8;
  const quarter = quarterOf(angle);
  const x = restOf(angle, quarter);
  const z = r(x * x);
  const sign = ((quarter + 1) & 2) === 0 ? radius : -radius;
  return r(sign * ((quarter & 1) === 0 ? cosineOf(z) : sineOf(x, z)));
}

/** {@link normalPair} into two elements of an array, for many of them: nothing is allocated. */
export function writeNormalPair(a: number, b: number, out: Float32Array, at: number): void {
  const radius = r(Math.sqrt(squaredRadius(uniform01(a))));
  const angle = b >>> 8;
  const quarter = quarterOf(angle);
  const x = restOf(angle, quarter);
  const z = r(x * x);
  const sine = sineOf(x, z);
  const cosine = cosineOf(z);
  // multiplication by −1 is exact
  const sign = (quarter & 2) === 0 ? 1 : -1;
  out[at] = (quarter & 1) === 0 ? sign * radius * cosine : -sign * radius * sine;
  out[at + 1] = (quarter & 1) === 0 ? sign * radius * sine : sign * radius * cosine;
}
