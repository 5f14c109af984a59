import type { Mixture } from "pushforward";
import { seededUniform } from "../cli/split.ts";

/** log p of each row of `x`, row-major [n, dim], in nats and in the units of x. */
export type LogDensity = (x: Float32Array) => Float64Array;

const logTwoPi = Math.log(2 * Math.PI);

/** N(m, Σ) with mean and covariance of the data: log p(x) = −½ (x−m)ᵀ Σ⁻¹ (x−m) − ½ log |2πΣ|. */
export function fitGaussian(data: Float32Array, dim: number): LogDensity {
  const moments = new Moments(dim);
  for (let offset = 0; offset < data.length; offset += dim) moments.add(1, data, offset);
  const component = moments.component(moments.weight, 0);
  return (x) => Float64Array.from({ length: x.length / dim }, (_, i) => component.logDensity(x, i * dim));
}

interface Component {
  logWeight: number;
  logDensity(x: Float32Array, offset: number): number;
}

/** Sums of w, w·x and w·x·xᵀ over weighted rows: all that a Gaussian's mean and covariance need. */
class Moments {
  weight = 0;
  readonly #dim: number;
  readonly #first: Float64Array;
  readonly #second: Float64Array;

  constructor(dim: number) {
    this.#dim = dim;
    this.#first = new Float64Array(dim);
    this.#second = new Float64Array(dim * dim);
  }

  add(weight: number, x: Float32Array, offset: number): void {
    const dim = this.#dim;
    this.weight += weight;
    for (let j = 0; j < dim; j++) {
      const weighted = weight * (x[offset + j] ?? 0);
      this.#first[j] = (this.#first[j] ?? 0) + weighted;
      for (let k = 0; k <= j; k++) {
        this.#second[j * dim + k] = (this.#second[j * dim + k] ?? 0) + weighted * (x[offset + k] ?? 0);
      }
    }
  }

  /** The Gaussian of these moments; `floor` is added to every variance. */
  component(total: number, floor: number): Component {
    const dim = this.#dim;
    const mean = this.#first.map((sum) => sum / this.weight);
    const covariance = this.#second.map((sum) => sum / this.weight);
    for (let j = 0; j < dim; j++) {
      for (let k = 0; k <= j; k++) {
        const product = (mean[j] ?? 0) * (mean[k] ?? 0) - (j === k ? floor : 0);
        covariance[j * dim + k] = (covariance[j * dim + k] ?? 0) - product;
      }
    }
    return gaussianComponent(mean, covariance, Math.log(this.weight / total));
  }
}

function gaussianComponent(mean: Float64Array, covariance: Float64Array, logWeight: number): Component {
  const dim = mean.length;
  const lower = cholesky(covariance, dim);
  let logNorm = -0.5 * dim * logTwoPi;
  for (let j = 0; j < dim; j++) logNorm -= Math.log(lower[j * dim + j] ?? 1);
  const z = new Float64Array(dim);
  return {
    logWeight,
    logDensity(x, offset) {
      let squares = 0;
      for (let j = 0; j < dim; j++) {
        let rest = (x[offset + j] ?? 0) - (mean[j] ?? 0);
        for (let k = 0; k < j; k++) rest -= (lower[j * dim + k] ?? 0) * (z[k] ?? 0);
        const zj = rest / (lower[j * dim + j] ?? 1);
        z[j] = zj;
        squares += zj * zj;
      }
      return logNorm - 0.5 * squares;
    },
  };
}

/** L with L·Lᵀ = the symmetric matrix whose lower triangle is given. */
function cholesky(matrix: Float64Array, dim: number): Float64Array {
  const lower = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * dim + j] ?? 0;
      for (let k = 0; k < j; k++) sum -= (lower[i * dim + k] ?? 0) * (lower[j * dim + k] ?? 0);
      lower[i * dim + j] = i === j ? Math.sqrt(Math.max(sum, Number.MIN_VALUE)) : sum / (lower[j * dim + j] ?? 1);
    }
  }
  return lower;
}

/** The density of a flow's source, a mixture of Gaussians along the axes in the flow's own space, in the units of the data. */
export function mixtureDensity(
  { means, scales, weights }: Mixture,
  { mean, scale }: { mean: number[]; scale: number[] },
): LogDensity {
  const dim = mean.length;
  const shares = weights ?? means.map(() => 1);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const components = means.map((own, c) => {
    const covariance = new Float64Array(dim * dim);
    const deviations = scales[c];
    const centre = Float64Array.from(own, (value, j) => (mean[j] ?? 0) + (scale[j] ?? 1) * value);
    for (let j = 0; j < dim; j++) {
      const deviation = typeof deviations === "number" ? deviations : deviations?.[j];
      covariance[j * dim + j] = ((deviation ?? Number.NaN) * (scale[j] ?? 1)) ** 2;
    }
    return gaussianComponent(centre, covariance, Math.log((shares[c] ?? 0) / total));
  });
  const scratch = new Float64Array(components.length);
  return (x) =>
    Float64Array.from({ length: x.length / dim }, (_, i) => mixtureLogDensity(components, x, i * dim, scratch));
}

interface MixtureOptions {
  components: number;
  seed?: number;
  /** At most this many rounds of expectation and maximisation; default 40. */
  rounds?: number;
}

/** A Gaussian mixture with full covariances by expectation–maximisation, begun at k-means++ centres. */
export function fitMixture(
  data: Float32Array,
  dim: number,
  { components: count, seed = 0, rounds = 40 }: MixtureOptions,
): LogDensity {
  const n = data.length / dim;
  const spread = variances(data, dim);
  // Keeps a component from collapsing onto one row: a thousandth of the data's deviation.
  const floor = Math.min(...spread) * 1e-6;
  const centres = spreadCentres(data, dim, count, seed);
  let components: Component[] = centres.map((centre) => {
    const covariance = new Float64Array(dim * dim);
    for (let j = 0; j < dim; j++) covariance[j * dim + j] = (spread[j] ?? 1) / count;
    return gaussianComponent(centre, covariance, -Math.log(count));
  });
  const scratch = new Float64Array(count);
  let last = Number.NEGATIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const moments = components.map(() => new Moments(dim));
    let mean = 0;
    for (let i = 0; i < n; i++) {
      const total = mixtureLogDensity(components, data, i * dim, scratch);
      mean += total / n;
      for (let c = 0; c < components.length; c++) {
        // Most rows are far from most components; a share below e⁻³⁰ changes no digit that is shown.
        const share = (scratch[c] ?? 0) - total;
        if (share > -30) (moments[c] as Moments).add(Math.exp(share), data, i * dim); // c is within bounds.
      }
    }
    // A component of hardly more rows than dimensions has no covariance to speak of.
    const kept = moments.filter((moment) => moment.weight > dim + 1);
    const total = kept.reduce((sum, moment) => sum + moment.weight, 0);
    components = kept.map((moment) => moment.component(total, floor));
    if (mean - last < 1e-4) break;
    last = mean;
  }
  return (x) =>
    Float64Array.from({ length: x.length / dim }, (_, i) => mixtureLogDensity(components, x, i * dim, scratch));
}

/** log Σ_c w_c N_c(x); the terms of the sum are left in `terms`. */
function mixtureLogDensity(
  components: readonly Component[],
  x: Float32Array,
  offset: number,
  terms: Float64Array,
): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < components.length; c++) {
    const component = components[c] as Component; // c is within bounds.
    const term = component.logWeight + component.logDensity(x, offset);
    terms[c] = term;
    if (term > highest) highest = term;
  }
  let sum = 0;
  for (let c = 0; c < components.length; c++) {
    const below = (terms[c] ?? 0) - highest;
    if (below > -40) sum += Math.exp(below);
  }
  return highest + Math.log(sum);
}

function variances(data: Float32Array, dim: number): Float64Array {
  const n = data.length / dim;
  return Float64Array.from({ length: dim }, (_, j) => {
    let mean = 0;
    for (let i = j; i < data.length; i += dim) mean += (data[i] ?? 0) / n;
    let squares = 0;
    for (let i = j; i < data.length; i += dim) squares += ((data[i] ?? 0) - mean) ** 2 / n;
    return squares || 1;
  });
}

/** k-means++ seeding: each next centre is a row drawn in proportion to its squared distance from the centres so far. */
function spreadCentres(data: Float32Array, dim: number, count: number, seed: number): Float64Array[] {
  const uniform = seededUniform(seed);
  const n = data.length / dim;
  const row = (i: number) => Float64Array.from(data.subarray(i * dim, (i + 1) * dim));
  const nearest = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const centres = [row(Math.floor(uniform() * n))];
  while (centres.length < count) {
    const centre = centres[centres.length - 1] as Float64Array; // There is at least one.
    let total = 0;
    for (let i = 0; i < n; i++) {
      let squares = 0;
      for (let j = 0; j < dim; j++) squares += ((data[i * dim + j] ?? 0) - (centre[j] ?? 0)) ** 2;
      if (squares < (nearest[i] ?? 0)) nearest[i] = squares;
      total += nearest[i] ?? 0;
    }
    let left = uniform() * total;
    let chosen = 0;
    while (chosen < n - 1 && left > (nearest[chosen] ?? 0)) left -= nearest[chosen++] ?? 0;
    centres.push(row(chosen));
  }
  return centres;
}

/**
 * Kernel density estimate: log p(x) = log (1/n) Σ_i N(x; x_i, h² diag(scale²)), with one bandwidth h in units of `scale`.
 */
export function kernelDensity(
  data: Float32Array,
  dim: number,
  bandwidth: number,
  scale: readonly number[],
): LogDensity {
  const n = data.length / dim;
  const inverse = Float64Array.from(scale, (s) => 1 / (s * bandwidth));
  const scaled = Float64Array.from(data, (value, i) => value * (inverse[i % dim] ?? 1));
  const logNorm = -Math.log(n) - 0.5 * dim * logTwoPi + inverse.reduce((sum, value) => sum + Math.log(value), 0);
  const distances = new Float64Array(n);
  const point = new Float64Array(dim);
  return (x) =>
    Float64Array.from({ length: x.length / dim }, (_, row) => {
      for (let j = 0; j < dim; j++) point[j] = (x[row * dim + j] ?? 0) * (inverse[j] ?? 1);
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < n; i++) {
        let squares = 0;
        for (let j = 0; j < dim; j++) squares += ((scaled[i * dim + j] ?? 0) - (point[j] ?? 0)) ** 2;
        distances[i] = squares;
        if (squares < least) least = squares;
      }
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const beyond = (distances[i] ?? 0) - least;
        // e⁻⁴⁰ of the nearest row's share cannot change the sum's f64.
        if (beyond < 80) sum += Math.exp(-0.5 * beyond);
      }
      return logNorm - 0.5 * least + Math.log(sum);
    });
}

export interface Score {
  mean: number;
  standardError: number;
}

/** Mean of log-densities and its standard error, s/√n. */
export function scoreOf(values: Float64Array | Float32Array): Score {
  const n = values.length;
  let mean = 0;
  for (const value of values) mean += value / n;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, standardError: Math.sqrt(squares / (n - 1) / n) };
}

/** The candidate whose density gives the validation rows the highest mean log-likelihood. */
export function chooseByValidation<T>(
  candidates: readonly T[],
  build: (candidate: T) => LogDensity,
  validation: Float32Array,
): { candidate: T; density: LogDensity; validation: Score } {
  let best: { candidate: T; density: LogDensity; validation: Score } | undefined;
  for (const candidate of candidates) {
    const density = build(candidate);
    const score = scoreOf(density(validation));
    if (best === undefined || score.mean > best.validation.mean) best = { candidate, density, validation: score };
  }
  if (best === undefined) throw new RangeError("chooseByValidation needs at least one candidate");
  return best;
}
