import { invalid } from "../errors.ts";
import { checkFinite, checkWord, show } from "../options.ts";
import { type Path, type PathName, pathNames } from "./names.ts";

export type { Path, PathName };

/** ∫β of the variance-preserving diffusion with β from 0.1 to 20 (Song et al. 2021), from the data's end. */
const beta = { low: 0.1, rise: 19.9 };
const decay = (t: number) => 0.5 * (1 - t) ** 2 * beta.rise + (1 - t) * beta.low;
const decayRate = (t: number) => -(1 - t) * beta.rise - beta.low;
const quarter = Math.PI / 2;

/** The paths that have a name. The variance-preserving one starts from almost pure noise (α_0 = 0.0066) and is steep at t = 1. */
export const paths: Readonly<Record<PathName, Path>> = {
  "conditional-optimal-transport": { alpha: (t) => t, sigma: (t) => 1 - t, dAlpha: () => 1, dSigma: () => -1 },
  cosine: {
    alpha: (t) => Math.sin(quarter * t),
    sigma: (t) => Math.cos(quarter * t),
    dAlpha: (t) => quarter * Math.cos(quarter * t),
    dSigma: (t) => -quarter * Math.sin(quarter * t),
  },
  "linear-variance-preserving": {
    alpha: (t) => t,
    sigma: (t) => Math.sqrt(1 - t * t),
    dAlpha: () => 1,
    dSigma: (t) => -t / Math.sqrt(1 - t * t),
  },
  "variance-preserving": {
    alpha: (t) => Math.exp(-decay(t) / 2),
    sigma: (t) => Math.sqrt(-Math.expm1(-decay(t))),
    dAlpha: (t) => (-decayRate(t) / 2) * Math.exp(-decay(t) / 2),
    dSigma: (t) => (decayRate(t) / 2) * (Math.exp(-decay(t)) / Math.sqrt(-Math.expm1(-decay(t)))),
  },
};

/** α = tⁿ, σ = 1 − tⁿ. */
export function polynomialPath(n: number): Path {
  checkFinite("polynomialPath: n", n, 1);
  const rate = (t: number) => n * t ** (n - 1);
  return { alpha: (t) => t ** n, sigma: (t) => 1 - t ** n, dAlpha: rate, dSigma: (t) => -rate(t) };
}

const parts = ["alpha", "sigma", "dAlpha", "dSigma"] as const;

const known = new WeakSet<object>();

/** A path whose functions have been checked elsewhere, and are known at some times alone. */
export function trusted(path: Path): Path {
  known.add(path);
  return path;
}

/** The path of an option; of the user's own, that its functions are there and its derivatives are those of α and σ. */
export function checkPath(what: string, path: PathName | Path): Path {
  if (typeof path !== "object" || path === null) return paths[checkWord(`${what}: path`, path, pathNames)];
  if (known.has(path)) return path;
  for (const part of parts) {
    if (typeof path[part] !== "function")
      throw invalid(
        `${what}: path.${part} is ${show(path[part])}, but a path is { alpha, sigma, dAlpha, dSigma } of t`,
      );
  }
  const step = 1e-4;
  for (const t of [0.1, 0.37, 0.5, 0.81]) {
    for (const [value, rate] of [
      ["alpha", "dAlpha"],
      ["sigma", "dSigma"],
    ] as const) {
      const given = checkFinite(`${what}: path.${rate}(${t})`, path[rate](t));
      const difference = (path[value](t + step) - path[value](t - step)) / (2 * step);
      if (!(Math.abs(given - difference) <= 1e-3 * (1 + Math.abs(given))))
        throw invalid(
          `${what}: path.${rate}(${t}) is ${given}, but path.${value} changes at the rate ${difference} there: give its derivative`,
        );
    }
  }
  return path;
}

/** α, σ, α̇, σ̇ at given times, one behind the other. */
export function coefficients(what: string, path: Path, times: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const all = new Float32Array(4 * times.length);
  for (let k = 0; k < times.length; k++) {
    const t = times[k] as number;
    for (const [i, part] of parts.entries()) {
      const value = path[part](t);
      if (!Number.isFinite(value))
        throw invalid(`${what}: path.${part}(${t}) is ${value}, but it is a finite number for 0 < t < 1`);
      all[4 * k + i] = value;
    }
  }
  return all;
}

/**
 * Times at which paths other than the straight one are trained, each as likely: the middles of this many equal parts of (0, 1), or
 * quantiles of other times. Their coefficients are computed once, in f64, and the ends, where a rate may be infinite, are not among them.
 */
export const pathTimes = 2 ** 16;
