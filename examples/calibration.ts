/** The normal distribution function, by the complementary error function's continued form (Numerical Recipes §6.2), to 1.2e-7. */
export function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + z / 2);
  const series = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277]; // biome-ignore format: one line of constants
  const tail = (t / 2) * Math.exp(-z * z + series.reduceRight((sum, c) => sum * t + c, 0));
  return x < 0 ? tail : 1 - tail;
}

/** P(χ²_k ≤ x) for odd and even k, by the recurrence from k = 1 or 2. */
export function chiSquareCdf(x: number, degrees: number): number {
  if (x <= 0) return 0;
  let k = degrees % 2 === 0 ? 2 : 1;
  let cdf = k === 2 ? 1 - Math.exp(-x / 2) : 2 * normalCdf(Math.sqrt(x)) - 1;
  // F_{k+2} = F_k − (x/2)^{k/2} e^{−x/2} / Γ(k/2 + 1)
  let term = k === 2 ? (x / 2) * Math.exp(-x / 2) : Math.sqrt((2 * x) / Math.PI) * Math.exp(-x / 2);
  for (; k < degrees; k += 2) {
    cdf -= term;
    term *= x / (k + 2);
  }
  return cdf;
}

/**
 * Probability-integral transforms of rows that a flow took back to its source N(0, I), [n, dim]: Φ of every coordinate, and the
 * distribution function of the squared radius. All are uniform on (0, 1) where the model is right.
 */
export function transforms(x0: Float32Array, dim: number): { coordinates: Float64Array[]; radius: Float64Array } {
  const n = x0.length / dim;
  const coordinates = Array.from({ length: dim }, (_, k) =>
    Float64Array.from({ length: n }, (_, i) => normalCdf(x0[i * dim + k] ?? Number.NaN)),
  );
  const radius = Float64Array.from({ length: n }, (_, i) => {
    let squares = 0;
    for (let k = 0; k < dim; k++) squares += (x0[i * dim + k] ?? Number.NaN) ** 2;
    return chiSquareCdf(squares, dim);
  });
  return { coordinates, radius };
}

/** Largest distance between the empirical distribution of numbers in (0, 1) and the uniform one (Kolmogorov–Smirnov). */
export function uniformityDistance(values: Float64Array): number {
  const sorted = values.slice().sort();
  return sorted.reduce(
    (most, u, i) => Math.max(most, Math.abs(u - i / sorted.length), Math.abs(u - (i + 1) / sorted.length)),
    0,
  );
}
