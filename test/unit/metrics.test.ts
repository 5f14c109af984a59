import { expect, test } from "vitest";
import { energyDistance, exactWasserstein, maximumMeanDiscrepancy, slicedWasserstein } from "../../examples/metrics.ts";
import { normals, seedKey } from "../../src/random/philox.ts";

const gaussian = (n: number, seed: number) => normals(seedKey(seed), 0, 0, n, 2);

test("a shift has the Wasserstein distance of its length, exactly, and a sliced one of length/√dim", () => {
  const a = gaussian(300, 1);
  const shifted = a.map((value, k) => value + (k % 2 === 0 ? 3 : 4));
  expect(exactWasserstein(a, shifted, 2)).toBeCloseTo(5, 5);
  // the mean square of a projection of (3, 4) is 25/2; 2000 lines leave about 2 %
  expect(slicedWasserstein(a, shifted, 2, 2000)).toBeCloseTo(5 / Math.SQRT2, 0);
  expect(exactWasserstein(a, a, 2)).toBe(0);
});

test("the order of rows does not matter, and W₂ is at least sliced W₂", () => {
  const [a, b] = [gaussian(200, 1), gaussian(200, 2).map((value) => 1.5 * value)];
  const reversed = b.map((_, k) => b[b.length - 2 - k + 2 * (k % 2)] ?? 0);
  expect(exactWasserstein(a, reversed, 2)).toBeCloseTo(exactWasserstein(a, b, 2), 6);
  expect(exactWasserstein(a, b, 2)).toBeGreaterThan(slicedWasserstein(a, b, 2));
});

test("energy distance and MMD are near 0 for one distribution and as large as they should be for two", () => {
  const [a, b] = [gaussian(1500, 1), gaussian(1500, 2)];
  const far = b.map((value, k) => value + (k % 2 === 0 ? 40 : 0));
  expect(Math.abs(energyDistance(a, b, 2))).toBeLessThan(0.02);
  // far apart: 2·(40 + O(1/40)) − 2·E|x − x′|, and E|x − x′| = √π for N(0, 2I) in the plane
  expect(energyDistance(a, far, 2)).toBeCloseTo(80 - 2 * Math.sqrt(Math.PI), 0);
  expect(Math.abs(maximumMeanDiscrepancy(a, b, 2))).toBeLessThan(0.003);
  // E exp(−|x − x′|²/2h²) = h²/(h² + 2) in the plane, with the median h² = 4 ln 2; the cross term is 0
  const h2 = 4 * Math.LN2;
  expect(maximumMeanDiscrepancy(a, far, 2)).toBeCloseTo((2 * h2) / (h2 + 2), 1);
});

test("samples of different sizes are refused where pairs are needed", () => {
  expect(() => exactWasserstein(new Float32Array(4), new Float32Array(6), 2)).toThrow(/equal sizes/);
  expect(() => slicedWasserstein(new Float32Array(4), new Float32Array(6), 2)).toThrow(/equal sizes/);
});
