/*
 * Distribution functions of the statistics, in f64: series with positive terms alone, so that nothing cancels, also in the tails.
 */

/** erfc(x) for x ≥ 0: 1 − erf by its series (Abramowitz & Stegun 7.1.6) below 2, Laplace's continued fraction (7.1.14) from there on. */
function erfc(x: number): number {
  if (x < 2) {
    let term = (2 / Math.sqrt(Math.PI)) * x * Math.exp(-x * x);
    let sum = term;
    for (let k = 1; term > 1e-17 * sum; k++) {
      term *= (2 * x * x) / (2 * k + 1);
      sum += term;
    }
    return 1 - sum;
  }
  let tail = x;
  for (let k = 100; k > 0; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
}

/** Φ(x), the standard normal distribution function. */
export function normalCdf(x: number): number {
  const tail = erfc(Math.abs(x) / Math.SQRT2) / 2;
  return x < 0 ? tail : 1 - tail;
}

/**
 * P(χ²_k > x) for a whole k ≥ 1: Q_{k+2} = Q_k + (x/2)^{k/2} e^{−x/2}/Γ(k/2 + 1) (Abramowitz & Stegun 26.4.8), from k = 1 or 2.
 * Terms are summed from their logarithms, of which the first may be far below what f64 holds.
 */
export function chiSquareTail(x: number, degrees: number): number {
  if (!(x > 0)) return x <= 0 ? 1 : Number.NaN;
  const isEven = degrees % 2 === 0;
  let tail = isEven ? Math.exp(-x / 2) : erfc(Math.sqrt(x / 2));
  let logTerm = isEven ? Math.log(x / 2) - x / 2 : Math.log((2 * x) / Math.PI) / 2 - x / 2;
  for (let k = isEven ? 2 : 1; k < degrees; k += 2) {
    tail += Math.exp(logTerm);
    logTerm += Math.log(x / (k + 2));
  }
  return Math.min(1, tail);
}

/** P(√n D > …) of Kolmogorov's statistic D of n numbers, with Stephens' correction for few of them (Numerical Recipes, eq. 14.3.9). */
export function kolmogorovTail(distance: number, n: number): number {
  const root = Math.sqrt(n);
  const x = (root + 0.12 + 0.11 / root) * distance;
  // two series of one theta function: each converges within a few terms on its side of 1
  let sum = 0;
  if (x < 1) {
    for (let k = 1; k < 20; k += 2) sum += Math.exp(-((k * Math.PI) ** 2) / (8 * x * x));
    return 1 - (Math.sqrt(2 * Math.PI) / x) * sum;
  }
  for (let k = 1; k < 20; k++) sum += (k % 2 === 1 ? 2 : -2) * Math.exp(-2 * k * k * x * x);
  return sum;
}
