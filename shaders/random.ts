import {
  cosineQuarter,
  halfPi,
  leastSquaredRadius,
  ln2,
  logarithm,
  sineQuarter,
  sqrtHalfBits,
} from "../src/random/polynomials.ts";
import { f32, horner, wgsl } from "./wgsl.ts";

/** The params of draws: the index of the first particle and the key, two words each. */
export const drawParams = { first_low: "u32", first_high: "u32", key_low: "u32", key_high: "u32" } as const;

/** WGSL, where `p` is the number of a particle from the first one on: its counter's two words. */
export const drawIndexAs = (low: string, high: string) => wgsl`let ${low} = params.first_low + p;
  let ${high} = params.first_high + select(0u, 1u, ${low} < p);`;

/** {@link drawIndexAs} under the names of most kernels. */
export const drawIndex = drawIndexAs("low", "high");

/** Their numbers. */
export function drawNumbers(first: number, [key_low, key_high]: readonly [number, number]) {
  return { first_low: first % 2 ** 32, first_high: Math.floor(first / 2 ** 32), key_low, key_high };
}

/**
 * WGSL: `sin_cos_two_pi(u) -> (sin 2πu, cos 2πu)` for any finite u, error at most 2e-7.
 * WGSL's own sine may be wrong by 2⁻¹¹; here the reduction is exact and only a short polynomial rounds.
 */
export const sinCosTwoPi = wgsl`
// (sin, cos) of (quarter + x)·π/2 for |x| ≤ 1/2
fn sin_cos_quarter_turns(x: f32, quarter: i32) -> vec2f {
  let z = x * x;
  let sine = x * ${f32(halfPi.high)} + x * (${f32(halfPi.low)} + z * ${horner(sineQuarter, "z")});
  let cosine = 1.0 + z * ${horner(cosineQuarter, "z")};
  let turned = select(vec2f(sine, cosine), vec2f(cosine, -sine), (quarter & 1) == 1);
  return select(turned, -turned, (quarter & 2) == 2);
}

// (sin 2πu, cos 2πu); u − round(u) and 4·turn − quarter are exact
fn sin_cos_two_pi(u: f32) -> vec2f {
  let turn = u - round(u);
  let quarter = round(4.0 * turn);
  return sin_cos_quarter_turns(4.0 * turn - quarter, i32(quarter));
}
`;

/**
 * WGSL twin of src/random: `philox`, `uniform01`, `rademacher`, `random_index`, `normal_pair`, `normal4`,
 * and {@link sinCosTwoPi}, which it contains. Integers, uniforms and signs have the bits of the TypeScript functions;
 * normals differ by a few units in the last place, because a·b + c may be contracted.
 */
export const random = wgsl`${sinCosTwoPi}
// 32 × 32 → 64-bit product as (low, high), from 16-bit halves
fn wide_product(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  return vec2u(a * b, a1 * b1 + (middle >> 16u) + (cross >> 16u));
}

// Philox4x32-10 (Salmon et al. 2011); counter = (particle index low, high, draw, stream), key = seed
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var i = 0u; i < 10u; i++) {
    let p = wide_product(0xd2511f53u, c.x);
    let q = wide_product(0xcd9e8d57u, c.z);
    c = vec4u(q.y ^ c.y ^ k.x, q.x, p.y ^ c.w ^ k.y, p.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

// uniform in (0, 1] with 24 bits
fn uniform01(bits: u32) -> f32 {
  return f32((bits >> 8u) + 1u) * ${f32(2 ** -24)};
}

// ±1 from bit i
fn rademacher(bits: u32, i: u32) -> f32 {
  return select(-1.0, 1.0, ((bits >> i) & 1u) == 1u);
}

// integer in [0, n)
fn random_index(bits: u32, n: u32) -> u32 {
  return wide_product(bits, n).y;
}

// √(−2 ln u), u in (0, 1]: exponent by the bits, polynomial on the mantissa in [√½, √2)
fn box_muller_radius(u: f32) -> f32 {
  let offset = bitcast<i32>(u) - ${sqrtHalfBits};
  let exponent = f32(offset >> 23u);
  let f = bitcast<f32>((offset & 0x7fffff) + ${sqrtHalfBits}) - 1.0;
  let square = f * f;
  let tail = square * f * ${horner(logarithm, "f")} + (exponent * ${f32(ln2.low)} - 0.5 * square);
  let log_u = exponent * ${f32(ln2.high)} + (f + tail);
  let squared = max(-2.0 * log_u, ${f32(leastSquaredRadius)});
  // WGSL's root may be a few units off: one Newton step mends it
  let root = sqrt(squared);
  return root + 0.5 * (squared - root * root) / root;
}

// two independent standard normals by Box–Muller; 24 bits for the radius, 24 for the angle
fn normal_pair(a: u32, b: u32) -> vec2f {
  let angle = i32(b >> 8u);
  let quarter = (angle + 0x200000) >> 22u;
  let direction = sin_cos_quarter_turns(f32(angle - quarter * 0x400000) * ${f32(2 ** -22)}, quarter);
  return box_muller_radius(uniform01(a)) * direction.yx;
}

fn normal4(bits: vec4u) -> vec4f {
  return vec4f(normal_pair(bits.x, bits.y), normal_pair(bits.z, bits.w));
}
`;
