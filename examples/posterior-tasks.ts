/** Two tasks of sbibm (Lueckmann et al. 2021), whose posteriors are known. All that is drawn depends on the seed alone. */
import { normals, seedKey, uniforms } from "../src/random/philox.ts";

export interface Task {
  readonly name: string;
  /** Of the parameters, and of an observation. */
  readonly dim: number;
  readonly context: number;
  /** Whether posteriors of up to three parameters are much narrower than the prior: see learnPosterior. */
  readonly isNarrow?: true;
  /** Draws from the prior, [count, dim]. */
  prior(count: number, seed: number): Float32Array;
  /** An observation for each row of parameters, [n, context]. */
  simulate(parameters: Float32Array, seed: number): Float32Array;
  /** Draws from the posterior of one observation, [count, dim]. */
  reference(observation: Float32Array, count: number, seed: number): Float32Array;
}

// draws of a simulator are no draws of the library
const [priorStream, noiseStream, referenceStream] = [100, 101, 102];

/** sbibm's "gaussian_linear", in ten dimensions there: θ ~ N(0, 0.1 I), x ~ N(θ, 0.1 I), so θ given x ~ N(x/2, 0.05 I). */
export function gaussianLinear(dim: number): Task {
  const around = (mean: (k: number) => number, variance: number, count: number, stream: number, seed: number) =>
    normals(seedKey(seed), stream, 0, count, dim).map((z, k) => mean(k) + Math.sqrt(variance) * z);
  return {
    name: "gaussian linear",
    dim,
    context: dim,
    prior: (count, seed) => around(() => 0, 0.1, count, priorStream, seed),
    simulate: (parameters, seed) =>
      around((k) => parameters[k] as number, 0.1, parameters.length / dim, noiseStream, seed),
    reference: (x, count, seed) => around((k) => (x[k % dim] as number) / 2, 0.05, count, referenceStream, seed),
  };
}

/** A point of the crescent: r ~ N(0.1, 0.01²) in a direction a ~ U(−π/2, π/2), about (0.25, 0). */
function crescentPoints(count: number, stream: number, seed: number): Float32Array {
  const [u, z] = [uniforms(seedKey(seed), stream, 0, count, 1), normals(seedKey(seed), stream, 0, count, 1, 1)];
  return Float32Array.from({ length: 2 * count }, (_, k) => {
    const i = k >> 1;
    const angle = Math.PI * ((u[i] as number) - 0.5);
    const r = 0.1 + 0.01 * (z[i] as number);
    return k % 2 === 0 ? r * Math.cos(angle) + 0.25 : r * Math.sin(angle);
  });
}

/**
 * sbibm's "two_moons" (Greenberg et al. 2019): θ ~ U(−1, 1)², x = p + (−|θ_1 + θ_2|, θ_2 − θ_1)/√2 with p of the crescent. Given x, each p is
 * of two θ, one on either side of θ_1 + θ_2 = 0, and the map from θ to p has |det| = 1: the posterior is the crescent's density there, within
 * the prior's square. Its draws are those of p and a side, without those that no θ of the square has.
 */
export const twoMoons: Task = {
  name: "two moons",
  dim: 2,
  context: 2,
  isNarrow: true,
  prior: (count, seed) => uniforms(seedKey(seed), priorStream, 0, count, 2).map((u) => 2 * u - 1),
  simulate(parameters, seed) {
    return crescentPoints(parameters.length / 2, noiseStream, seed).map((p, k) => {
      const [a, b] = [parameters[k - (k % 2)] as number, parameters[k - (k % 2) + 1] as number];
      return p + (k % 2 === 0 ? -Math.abs(a + b) : b - a) / Math.SQRT2;
    });
  },
  reference(observation, count, seed) {
    const [x, y] = observation as unknown as [number, number];
    const draws = new Float32Array(2 * count);
    let found = 0;
    for (let round = 0; found < count; round++) {
      if (round === 1000) throw new RangeError(`no parameters in the prior's square give (${x}, ${y})`);
      const points = crescentPoints(count, referenceStream + 2 * round, seed);
      const sides = uniforms(seedKey(seed), referenceStream + 2 * round + 1, 0, count, 1);
      for (let i = 0; i < count && found < count; i++) {
        const sum = (points[2 * i] as number) - x;
        const difference = y - (points[2 * i + 1] as number);
        const side = (sides[i] as number) > 0.5 ? sum : -sum;
        const theta = [(side - difference) / Math.SQRT2, (side + difference) / Math.SQRT2];
        if (sum < 0 || theta.some((value) => Math.abs(value) > 1)) continue;
        draws.set(theta, 2 * found++);
      }
    }
    return draws;
  },
};
