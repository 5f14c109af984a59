import { describe, expect, test } from "vitest";
import { fitNormalization } from "../../src/data/normalization.ts";
import { type ToyName, toyData, toyNames } from "../../src/data/toy.ts";
import { PushforwardError } from "../../src/errors.ts";
import { type ToyDensity, toyDensities } from "../oracle/densities.ts";
import { gaussianEntropy, gaussianFit, wasserstein2 } from "../oracle/transport.ts";
import { at, row } from "../oracle/vectors.ts";

describe("toyData", () => {
  test.each(toyNames)("%s: a smaller set is the beginning of a larger one, and seeds differ", (name) => {
    expect(toyData(name, 63, 5)).toEqual(toyData(name, 126, 5).slice(0, 126));
    expect(toyData(name, 63, 5)).not.toEqual(toyData(name, 63, 6));
    expect(toyData(name, 5)).toEqual(toyData(name, 5, 0));
    expect(toyData(name, 0)).toHaveLength(0);
  });

  test.each(toyNames)("%s: mean, variances and covariance are the known ones", (name) => {
    const n = 60_001;
    const { mean, covariance } = gaussianFit(toyData(name, n, 3), 2);
    const right: ToyDensity = toyDensities[name];
    // five standard errors; a variance of a law with kurtosis below 3 errs by less than v √(2/n); digits given end at 1e-3 to 5e-3
    for (const i of [0, 1]) {
      const variance = at(right.variance, i);
      expect(Math.abs(at(mean, i) - at(right.mean, i))).toBeLessThan(5 * Math.sqrt(variance / n) + 5e-4);
      expect(Math.abs(at(covariance, 3 * i) - variance)).toBeLessThan(5 * variance * Math.sqrt(2 / n) + 5e-3);
    }
    const crossError = Math.sqrt((2 * at(right.variance, 0) * at(right.variance, 1)) / n);
    expect(Math.abs(at(covariance, 1) - right.covariance)).toBeLessThan(5 * crossError + 5e-4);
  });

  test.each(toyNames)("%s: the mean of −log p over its points is the entropy, within Monte-Carlo error", (name) => {
    const n = name === "checkerboard" ? 50_001 : 4_001;
    const data = toyData(name, n, 11);
    const { logDensity, entropy }: ToyDensity = toyDensities[name];
    const values = Array.from({ length: n }, (_, i) => -logDensity(row(data, 2, i)));
    const mean = values.reduce((sum, v) => sum + v, 0) / n;
    const error = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n / n);
    // four standard errors, and the last digit of the entropy
    expect(Math.abs(mean - entropy)).toBeLessThan(4 * error + 1e-4);
  });

  test("no checkerboard point leaves its dark squares", () => {
    const data = toyData("checkerboard", 200_001, 2);
    for (let i = 0; i < data.length / 2; i++) {
      if (toyDensities.checkerboard.logDensity(row(data, 2, i)) === -Infinity)
        throw new Error(`point ${i} lies outside`);
    }
  });

  test("two samples of the eight Gaussians are as far apart as perfect samples are", () => {
    const distance = wasserstein2(toyData("8gaussians", 256, 1), toyData("8gaussians", 256, 2), 2);
    expect(Math.abs(distance - 0.58)).toBeLessThan(0.4);
  });

  test("an unknown name is refused with the nearest one", () => {
    expect(() => toyData("moon" as ToyName, 3)).toThrow(PushforwardError);
    expect(() => toyData("moon" as ToyName, 3)).toThrow(/toyData: name is "moon".*did you mean "moons"\?/);
    expect(() => toyData("8gaussian" as ToyName, 3)).toThrow(/did you mean "8gaussians"\?/);
  });

  test.each([-1, 2.5, Number.NaN, "12"])("a count of %s is refused", (count) => {
    expect(() => toyData("moons", count as number)).toThrow(/toyData: count is .*, but it is an integer/);
  });

  test("a negative seed is refused", () => {
    expect(() => toyData("moons", 3, -1)).toThrow(/seed is -1/);
  });
});

describe("toy densities of the oracle", () => {
  // trapezoid on a grid wide enough for the tails, fine enough for the noise
  test.each<[ToyName, number, number, number]>([
    ["8gaussians", 0.1, 5.5, 7],
    ["moons", 0.06, 5, 6],
    ["swissroll", 0.08, 4.4, 6],
  ])("%s: the density integrates to 1 and its entropy has its known digits", (name, h, reach, places) => {
    const { logDensity, entropy } = toyDensities[name];
    let [mass, sum] = [0, 0];
    for (let x = -reach; x <= reach; x += h) {
      for (let y = -reach; y <= reach; y += h) {
        const l = logDensity([x, y]);
        mass += Math.exp(l) * h * h;
        sum -= Math.exp(l) * l * h * h;
      }
    }
    expect(mass).toBeCloseTo(1, 7);
    expect(sum).toBeCloseTo(entropy, places);
  });

  test.each<[ToyName, number]>([
    ["circles", 4.8],
    ["rings", 3.7],
  ])("%s: the same along the radius", (name, reach) => {
    const { logDensity, entropy } = toyDensities[name];
    const h = 1e-3;
    let [mass, sum] = [0, 0];
    for (let rho = h / 2; rho < reach; rho += h) {
      const l = logDensity([rho, 0]);
      const weight = 2 * Math.PI * rho * h * Math.exp(l);
      mass += weight;
      sum -= weight * l;
    }
    expect(mass).toBeCloseTo(1, 7);
    expect(sum).toBeCloseTo(entropy, 7);
  });

  test("a single Gaussian fitted to the eight has its known mean negative log-likelihood", () => {
    const { covariance } = gaussianFit(toyData("8gaussians", 60_001, 4), 2);
    expect(gaussianEntropy(covariance, 2)).toBeCloseTo(4.255, 2);
  });
});

describe("fitNormalization", () => {
  test("refuses what f32 cannot hold", () => {
    expect(() => fitNormalization(Float64Array.of(1e300, 1, 2e300, 3), 2)).toThrow(/column 0.*reaches 2e\+300/);
    expect(() => fitNormalization(Float64Array.of(1, -1e39), 1)).toThrow(/reaches -1e\+39/);
    expect(() => fitNormalization(Float64Array.of(1e-60, 2e-60), 1)).toThrow(/spreads by 5.00e-61/);
  });

  test("gives mean and standard deviation of each column", () => {
    const { mean, scale } = fitNormalization(Float32Array.of(1, 10, 2, 30, 3, 20, 6, 40), 2);
    expect(mean).toEqual([3, 25]);
    expect(at(scale, 0)).toBeCloseTo(Math.sqrt(3.5), 14);
    expect(at(scale, 1)).toBeCloseTo(Math.sqrt(125), 14);
  });

  test("a large offset beside a small spread loses no digits", () => {
    // spacing of f32 near 2^23 is 1, so these are exact
    const offset = 2 ** 23;
    const { mean, scale } = fitNormalization(
      Float32Array.from({ length: 100_003 }, (_, i) => offset + (i % 3)),
      1,
    );
    expect(at(mean, 0)).toBeCloseTo(offset + 1, 4);
    expect(at(scale, 0)).toBeCloseTo(Math.sqrt(2 / 3), 5);
  });

  test("a length that is no multiple of dim is refused", () => {
    expect(() => fitNormalization(new Float32Array(7), 2)).toThrow(PushforwardError);
    expect(() => fitNormalization(new Float32Array(7), 2)).toThrow(
      /data has 7 values, but dim 2 needs a positive multiple of 2: pass/,
    );
    expect(() => fitNormalization(new Float32Array(0), 2)).toThrow(/data has 0 values/);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("%s is refused with its row and column", (bad) => {
    const data = Float32Array.of(1, 2, 3, 4, 5, bad);
    expect(() => fitNormalization(data, 2)).toThrow(
      new RegExp(`data holds ${bad} in row 2, column 1 .*: remove or mend`),
    );
  });

  test("a column without spread is refused by its number, with what to do", () => {
    expect(() => fitNormalization(Float32Array.of(1, 0.1, 2, 0.1, 3, 0.1), 2)).toThrow(
      /column 1 .* in all 3 rows.*: leave it out, or pass/,
    );
    expect(() => fitNormalization(Float32Array.of(1, 2), 2)).toThrow(/its only row/);
  });

  test.each([0, 1.5, "2"])("a dim of %s is refused", (dim) => {
    expect(() => fitNormalization(new Float32Array(6), dim as number)).toThrow(
      /dim is .*, but it is an integer of at least 1/,
    );
  });

  test("a plain array is refused with what is expected", () => {
    expect(() => fitNormalization([1, 2] as unknown as Float32Array, 2)).toThrow(
      /data is \[1, 2\], but it is a row-major \[n, 2\] Float32Array/,
    );
  });
});
