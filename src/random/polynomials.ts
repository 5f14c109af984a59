/**
 * Coefficients of the polynomials behind normals and Fourier features, the same numbers in TypeScript and WGSL.
 * WGSL bounds its own sine only to 2⁻¹¹ and its logarithm to 2⁻²¹, so neither may be used for draws that must agree between adapters.
 * All are minimax fits (Lawson iteration on Chebyshev nodes, coefficients rounded to f32 one after the other).
 */

/** π/2 as a sum of two f32 numbers. */
export const halfPi = { high: 1.5707963705062866, low: -4.371138828673793e-8 } as const;

/** sin(πx/2) = x (π/2 + z·S(z)), z = x², |x| ≤ 1/2; relative error 9e-11. Constant term first. */
export const sineQuarter = [
  -0.6459640860557556, 0.07969233393669128, -0.004679540172219276, 0.00015460194845218211,
] as const;

/** cos(πx/2) = 1 + z·C(z), z = x², |x| ≤ 1/2; relative error 5e-10. Constant term first. */
export const cosineQuarter = [
  -1.2337005138397217, 0.25366854667663574, -0.020855596289038658, 0.0008944863802753389,
] as const;

/** arctan(x) = x + x·z·A(z), z = x², |x| ≤ √2 − 1; relative error 7e-10. Constant term first. */
export const arctangent = [
  -0.33333316445350647, 0.1999853253364563, -0.14244511723518372, 0.10600188374519348, -0.06092793866991997,
] as const;

/** ln(1 + f) = f − f²/2 + f³·L(f), √½ ≤ 1 + f ≤ √2; relative error 6e-9. Constant term first. */
export const logarithm = [
  0.3333333134651184, -0.2500081956386566, 0.2000124156475067, -0.166234090924263, 0.14201579988002777,
  -0.13159610331058502, 0.12762217223644257, -0.07636439055204391,
] as const;

/** ln 2 as a sum: `high` = 355/512, so that its product with a small integer is exact in f32. */
export const ln2 = { high: 0.693359375, low: -0.00021219444170128554 } as const;

/** Bits of the largest f32 below √½, where the mantissa's interval [√½, √2) starts. */
export const sqrtHalfBits = 0x3f3504f3;

/** Least value of −2 ln u: keeps the square root's Newton step away from 0/0 at u = 1; its root, 2⁻⁵⁰, is as good as zero. */
export const leastSquaredRadius = 2 ** -100;
