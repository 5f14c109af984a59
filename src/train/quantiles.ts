/** Parts of the range over which a density is added up. */
const parts = 2 ** 16;

/** What the logarithm of a density falls by where it counts no more: e⁻⁴⁶ is 1e-20. */
const depth = 46;

/**
 * The quantiles (k + ½)/n, k = 0 … n − 1, of a distribution on (0, 1) that is given by the density of y = log t/(1 − t): `logDensity` is its
 * logarithm but for a constant, with one maximum, at `mode`. Its integral is a cubic between the nodes of a grid, exact to about h⁴.
 */
export function logitQuantiles(logDensity: (y: number) => number, mode: number, n: number): Float64Array {
  const top = logDensity(mode);
  const edge = (sign: number) => {
    let width = 2 ** -20;
    while (logDensity(mode + sign * width) > top - depth) width *= 2;
    let inside = width / 2;
    for (let i = 0; i < 20; i++) {
      const middle = (inside + width) / 2;
      if (logDensity(mode + sign * middle) > top - depth) inside = middle;
      else width = middle;
    }
    return mode + sign * width;
  };
  const [low, high] = [edge(-1), edge(1)];
  const h = (high - low) / parts;
  const density = Float64Array.from({ length: parts + 1 }, (_, i) => Math.exp(logDensity(low + i * h) - top));
  // of the cubic through the density and its slopes, these by central differences: the trapezium rule with the ends' correction
  const slope = (i: number) =>
    ((density[Math.min(parts, i + 1)] as number) - (density[Math.max(0, i - 1)] as number)) / 2;
  const mass = new Float64Array(parts + 1);
  for (let i = 0; i < parts; i++)
    mass[i + 1] =
      (mass[i] as number) + ((density[i] as number) + (density[i + 1] as number)) / 2 + (slope(i) - slope(i + 1)) / 12;
  const total = mass[parts] as number;
  const quantiles = new Float64Array(n);
  for (let k = 0, i = 0; k < n; k++) {
    const wanted = ((k + 0.5) / n) * total;
    while ((mass[i + 1] as number) < wanted) i++;
    const [a, b, m] = [density[i] as number, density[i + 1] as number, mass[i] as number];
    const rise = (mass[i + 1] as number) - m;
    // the cubic with these masses and densities at its ends, inverted by Newton's method
    let s = (wanted - m) / rise;
    for (let round = 0; round < 4; round++) {
      const value = s * (a + s * (3 * rise - 2 * a - b + s * (a + b - 2 * rise)));
      const rate = a + s * (2 * (3 * rise - 2 * a - b) + 3 * s * (a + b - 2 * rise));
      if (rate > 0) s = Math.min(1, Math.max(0, s - (value - (wanted - m)) / rate));
    }
    const y = low + (i + s) * h;
    quantiles[k] = 1 / (1 + Math.exp(-y));
  }
  return quantiles;
}
