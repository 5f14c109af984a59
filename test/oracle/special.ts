/*
 * Special functions to f64 accuracy, each by a series with positive terms where the argument is small
 * and by the expansion made for large arguments elsewhere.
 */

const twoOverRootPi = 2 / Math.sqrt(Math.PI);

/** erf x = (2/√π) e^(−x²) Σ 2^n x^(2n+1) / (2n+1)!! : all terms have one sign, so nothing cancels. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 3) return Math.sign(x) * (1 - erfc(size));
  let term = size;
  let sum = size;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * size * size) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * twoOverRootPi * Math.exp(-x * x) * sum;
}

/** erfc x = 1 − erf x, with full relative accuracy for large x by Laplace's continued fraction. */
export function erfc(x: number): number {
  if (x < 2) return 1 - erf(x);
  // erfc x = e^(−x²)/√π · 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + …)))), from the inside out
  let tail = x;
  for (let k = 120; k >= 1; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
}

/** Φ, the distribution function of N(0, 1), with full relative accuracy in the lower tail. */
export function normalCdf(x: number): number {
  return 0.5 * erfc(-x / Math.SQRT2);
}

/** φ, the density of N(0, 1). */
export function normalDensity(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

/** Φ(high) − Φ(low), from the tail that is smaller. */
export function normalInterval(low: number, high: number): number {
  return low > 0 ? normalCdf(-low) - normalCdf(-high) : normalCdf(high) - normalCdf(low);
}

/** e^(−z) I_0(z), z ≥ 0: power series below 40, asymptotic series above. */
export function besselI0Scaled(z: number): number {
  let term = 1;
  let sum = 1;
  if (z < 40) {
    for (let k = 1; term > sum * 1e-17; k++) {
      term *= (z / 2 / k) ** 2;
      sum += term;
    }
    return Math.exp(-z) * sum;
  }
  for (let k = 1; k < 60 && term > sum * 1e-17; k++) {
    term *= (2 * k - 1) ** 2 / (8 * z * k);
    sum += term;
  }
  return sum / Math.sqrt(2 * Math.PI * z);
}

/** Nodes and weights of the n-point Gauss–Legendre rule on [low, high], by Newton's method on the Legendre polynomial. */
export function gaussLegendre(n: number, low: number, high: number): { nodes: Float64Array; weights: Float64Array } {
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let iteration = 0; iteration < 12; iteration++) {
      let [p, before] = [x, 1];
      for (let k = 2; k <= n; k++) [p, before] = [((2 * k - 1) * x * p - (k - 1) * before) / k, p];
      slope = (n * (x * p - before)) / (x * x - 1);
      x -= p / slope;
    }
    nodes[n - 1 - i] = (low + high) / 2 + ((high - low) / 2) * x;
    weights[n - 1 - i] = (high - low) / ((1 - x * x) * slope * slope);
  }
  return { nodes, weights };
}
