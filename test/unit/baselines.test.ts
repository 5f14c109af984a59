import { expect, test } from "vitest";
import { seededUniform } from "../../cli/split.ts";
import {
  chooseByValidation,
  fitGaussian,
  fitMixture,
  kernelDensity,
  type LogDensity,
  scoreOf,
} from "../../examples/baselines.ts";
import { distinctPlaces } from "../../examples/places-data.ts";

/** Rows of two Gaussians at ±3 in the first column, by Box and Muller. */
function twoClusters(count: number, seed: number): Float32Array {
  const uniform = seededUniform(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const data = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    data[2 * i] = (i % 2 === 0 ? -3 : 3) + 0.5 * normal();
    data[2 * i + 1] = 0.2 * normal();
  }
  return data;
}

/** ∫ p over a box by the midpoint rule. */
function mass(density: LogDensity, low: number, high: number, cells: number): number {
  const points = new Float32Array(2 * cells * cells);
  const width = (high - low) / cells;
  for (let i = 0; i < cells * cells; i++) {
    points[2 * i] = low + ((i % cells) + 0.5) * width;
    points[2 * i + 1] = low + (Math.floor(i / cells) + 0.5) * width;
  }
  return density(points).reduce((sum, value) => sum + Math.exp(value), 0) * width * width;
}

test("a Gaussian's log-density is the closed form of the data's mean and covariance", () => {
  // Corners of a rectangle: mean (1, 2), variances 1 and 4, no covariance.
  const density = fitGaussian(Float32Array.of(0, 0, 2, 0, 0, 4, 2, 4), 2);
  const expected = -Math.log(2 * Math.PI) - 0.5 * Math.log(4) - 0.5 * (1 / 1 + 4 / 4);
  expect(density(Float32Array.of(2, 4))[0]).toBeCloseTo(expected, 10);
});

test("a correlated Gaussian integrates to one", () => {
  const density = fitGaussian(Float32Array.of(0, 0, 1, 1, 2, 1, -1, -2, 0.5, 1), 2);
  // The midpoint rule on a smooth bump that ends within the box is far more exact than this.
  expect(mass(density, -12, 12, 201)).toBeCloseTo(1, 6);
});

test("a mixture of two finds both clusters: its log-likelihood is the data's negative entropy", () => {
  const density = fitMixture(twoClusters(4001, 1), 2, { components: 2, seed: 3 });
  // −log 2 for the choice of cluster, −½ log((2πe)² 0.5² 0.2²) within it.
  const expected = -Math.log(2) - Math.log(2 * Math.PI * Math.E * 0.5 * 0.2);
  const { mean, standardError } = scoreOf(density(twoClusters(4001, 2)));
  expect(Math.abs(mean - expected)).toBeLessThan(4 * standardError);
});

test("a mixture of one is the Gaussian", () => {
  const data = twoClusters(501, 1);
  const mixture = fitMixture(data, 2, { components: 1 })(data);
  const gaussian = fitGaussian(data, 2)(data);
  // The floor on the variances is a millionth of the smaller one.
  for (const [i, value] of mixture.entries()) expect(value).toBeCloseTo(gaussian[i] ?? 0, 4);
});

test("a mixture of more components than clusters still integrates to one", () => {
  expect(mass(fitMixture(twoClusters(503, 1), 2, { components: 9 }), -6, 6, 401)).toBeCloseTo(1, 3);
});

test("a kernel density is the mean of its kernels", () => {
  const data = Float32Array.of(0, 0, 3, 1);
  const point = Float32Array.of(1, 1);
  const kernel = (dx: number, dy: number) => Math.exp(-0.5 * (dx ** 2 + dy ** 2));
  // Bandwidth 0.5 times scales 2 and 4: deviations 1 and 2.
  const expected = Math.log((kernel(1, 1 / 2) + kernel(2, 0)) / 2 / (2 * Math.PI * 1 * 2));
  expect(kernelDensity(data, 2, 0.5, [2, 4])(point)[0]).toBeCloseTo(expected, 10);
});

test("a kernel density far from every row is finite", () => {
  expect(kernelDensity(Float32Array.of(0, 0), 2, 0.01, [1, 1])(Float32Array.of(1, 1))[0]).toBeCloseTo(
    -Math.log(2 * Math.PI * 1e-4) - 1e4,
    3,
  );
});

test("validation chooses the best candidate", () => {
  const data = twoClusters(601, 1);
  const fit = (components: number) => fitMixture(data, 2, { components });
  expect(chooseByValidation([1, 2], fit, twoClusters(601, 2)).candidate).toBe(2);
});

test("scores have the standard error of a mean", () => {
  expect(scoreOf(Float64Array.of(1, 2, 3, 4))).toEqual({ mean: 2.5, standardError: Math.sqrt(5 / 3 / 4) });
});

test("places outside the contiguous United States and repeated places are left out", () => {
  const data = Float32Array.of(-100, 40, -157.8, 21.3, -100, 40, -66.1, 18.4, -100, 40.5);
  const { distinct, inside } = distinctPlaces(data);
  expect(Array.from(distinct)).toEqual([-100, 40, -100, 40.5]);
  expect(inside).toBe(3);
});
