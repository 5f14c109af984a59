import { expect, test } from "vitest";
import {
  c2st,
  energyDistance,
  mmd,
  optimalPairs,
  slicedWasserstein,
  wasserstein2,
} from "../../src/diagnostics/entry.ts";
import { normals, seedKey } from "../../src/random/philox.ts";
import { normalCdf, normalDensity } from "../oracle/special.ts";
import * as oracle from "../oracle/transport.ts";

const gaussian = (n: number, seed: number, dim = 2) => normals(seedKey(seed), 0, 0, n, dim);
const moved = (x: Float32Array, by: readonly number[]) =>
  x.map((value, k) => value + (by[k % by.length] ?? Number.NaN));

test("W₂ agrees with the assignment of the oracle, in one to five dimensions", async () => {
  for (const [n, dim] of [
    [1, 2],
    [2, 1],
    [63, 2],
    [65, 3],
    [40, 5],
  ] as const) {
    // biome-ignore format: a table
    const [a, b] = [gaussian(n, 1, dim), gaussian(n, 2, dim).map((value) => 1.5 * value)];
    expect(await wasserstein2(a, b, dim)).toBeCloseTo(oracle.wasserstein2(a, b, dim), 9);
  }
});

test("W₂ to an image under the gradient of a convex function is the length of the way: Gaussians have a closed form", async () => {
  const a = gaussian(300, 1);
  // x ↦ A x + c with A symmetric and positive: the optimal map between any sample and its image (Brenier 1991)
  const [p, q, r, c, d] = [1.5, 0.4, 0.7, 3, -4];
  const b = new Float32Array(a.length);
  let squares = 0;
  for (let i = 0; i < a.length; i += 2) {
    const [x = 0, y = 0] = a.subarray(i, i + 2);
    b.set([p * x + q * y + c, q * x + r * y + d], i);
    squares += ((b[i] ?? 0) - x) ** 2 + ((b[i + 1] ?? 0) - y) ** 2;
  }
  // the order of rows does not matter
  const reversed = b.map((_, k) => b[b.length - 2 - k + 2 * (k % 2)] ?? 0);
  expect(await wasserstein2(a, reversed, 2)).toBeCloseTo(Math.sqrt(squares / 300), 9);
  expect(await wasserstein2(a, a, 2)).toBe(0);
  // W₂² = |c|² + tr(Σ + I − 2 Σ^½) for N(0, I) and its image, with Σ = A²
  const closed = Math.sqrt(c * c + d * d + (p - 1) ** 2 + 2 * q * q + (r - 1) ** 2);
  expect(await wasserstein2(a, b, 2)).toBeCloseTo(closed, 0);
});

test("optimal pairs are those of the oracle's assignment, and their distance is W₂", async () => {
  const [n, dim] = [61, 3];
  const [a, b] = [gaussian(n, 3, dim), gaussian(n, 4, dim).map((value) => 1.5 * value + 1)];
  const order = await optimalPairs(a, b, dim);
  const square = (i: number, j: number) =>
    Array.from({ length: dim }, (_, k) => ((a[i * dim + k] ?? 0) - (b[j * dim + k] ?? 0)) ** 2).reduce((x, y) => x + y);
  const cost = Float64Array.from({ length: n * n }, (_, k) => square(Math.floor(k / n), k % n));
  expect(Array.from(order)).toEqual(Array.from(oracle.assignment(cost, n)));
  const mean = order.reduce((sum, j, i) => sum + square(i, j) / n, 0);
  expect(await wasserstein2(a, b, dim)).toBeCloseTo(Math.sqrt(mean), 9);
  await expect(optimalPairs(a, b.subarray(dim), dim)).rejects.toThrow("a has 61 rows and b has 60");
  await expect(optimalPairs(new Float32Array(5001), new Float32Array(5001), 1)).rejects.toThrow(/most: pass fewer$/);
});

test("rows of f64 keep the digits of an offset", async () => {
  const a = Float64Array.from(gaussian(50, 1), (value) => 5_400_000 + 0.1 * value);
  const b = a.map((value, k) => value + (k % 2 === 0 ? 0.03 : 0.04));
  expect(await wasserstein2(a, b, 2)).toBeCloseTo(0.05, 7);
  expect(slicedWasserstein(a, b, 2, { projections: 4000 })).toBeCloseTo(0.05 / Math.SQRT2, 2);
});

test("sliced W₂ is exact in one dimension, for sizes that do not divide each other, too", () => {
  const [a, b] = [gaussian(6, 1, 1), gaussian(4, 2, 1)];
  const repeated = (x: Float32Array, times: number) =>
    Float32Array.from({ length: x.length * times }, (_, i) => x[Math.floor(i / times)] ?? 0);
  expect(slicedWasserstein(a, b, 1)).toBeCloseTo(oracle.wasserstein2(repeated(a, 2), repeated(b, 3), 1), 6);
});

test("sliced W₂ of a shift is its length over √dim, is at most W₂, and has the bits of its seed", async () => {
  const a = gaussian(200, 1);
  // the mean square of a projection of (3, 4) is 25/2
  expect(slicedWasserstein(a, moved(a, [3, 4]), 2, { projections: 20_000 })).toBeCloseTo(5 / Math.SQRT2, 1);
  const b = gaussian(200, 2).map((value) => 1.5 * value);
  expect(slicedWasserstein(a, b, 2)).toBeLessThan(await wasserstein2(a, b, 2));
  expect(slicedWasserstein(a, b, 2, { seed: 3 })).toBe(slicedWasserstein(a, b, 2, { seed: 3 }));
  expect(slicedWasserstein(a, b, 2, { seed: 3 })).not.toBe(slicedWasserstein(a, b, 2, { seed: 4 }));
});

/** E|X| of N(mean, 2), the difference of two numbers of N(·, 1). */
const meanDistance = (mean: number) => {
  const z = mean / Math.SQRT2;
  return Math.SQRT2 * (2 * normalDensity(z) + z * (2 * normalCdf(z) - 1));
};

test("the energy distance of Gaussians is the closed one, and without bias", () => {
  for (const shift of [0, 0.5, 3]) {
    // the mean over many small samples: a bias of 1/n would show
    let sum = 0;
    for (let seed = 0; seed < 400; seed++)
      sum += energyDistance(gaussian(20, 2 * seed, 1), moved(gaussian(30, 2 * seed + 1, 1), [shift]), 1) / 400;
    expect(Math.abs(sum - 2 * (meanDistance(shift) - meanDistance(0)))).toBeLessThan(0.03);
  }
});

test("MMD² of Gaussians is the closed one, and without bias", () => {
  const h = 1.3;
  // E exp(−|x − y|²/2h²) of N(δ, 2I) in the plane
  const kernel = (delta: number) => (h * h * Math.exp(-(delta ** 2) / (2 * (h * h + 2)))) / (h * h + 2);
  for (const shift of [0, 1]) {
    let sum = 0;
    for (let seed = 0; seed < 400; seed++)
      sum += mmd(gaussian(20, 2 * seed), moved(gaussian(30, 2 * seed + 1), [shift, 0]), 2, { bandwidths: [h] }) / 400;
    expect(Math.abs(sum - 2 * (kernel(0) - kernel(shift)))).toBeLessThan(0.01);
  }
  // several bandwidths are a mean, and the median of |x − x′| in the plane is √(4 ln 2)
  const [a, b] = [gaussian(800, 1), moved(gaussian(700, 2), [0.3, 0])];
  const each = [0.5, 2].map((one) => mmd(a, b, 2, { bandwidths: [one] }));
  expect(mmd(a, b, 2, { bandwidths: [0.5, 2] })).toBeCloseTo(((each[0] ?? 0) + (each[1] ?? 0)) / 2, 12);
  expect(mmd(a, b, 2)).toBeCloseTo(mmd(a, b, 2, { bandwidths: [Math.sqrt(4 * Math.LN2)] }), 3);
});

test("C2ST comes near the accuracy of the best classifier, and to one half where there is nothing to tell", async () => {
  const [a, b] = [gaussian(400, 1), gaussian(400, 2)];
  const apart = await c2st(a, moved(b, [2, 0]), 2, { epochs: 60 });
  expect(Math.abs(apart.accuracy - normalCdf(1))).toBeLessThan(0.04);
  expect(apart.pValue).toBeLessThan(1e-6);
  const same = await c2st(a, b, 2, { epochs: 60 });
  expect(Math.abs(same.accuracy - 0.5)).toBeLessThan(0.06);
  expect(same.pValue).toBeGreaterThan(0.01);
  // a ring about a disc, which no line parts
  const ring = a.map((value, k) => (4 * value) / Math.hypot(a[k - (k % 2)] ?? 0, a[k - (k % 2) + 1] ?? 0));
  expect((await c2st(b, ring, 2, { epochs: 200 })).accuracy).toBeGreaterThan(0.97);
  const near = { classifier: "neighbours" } as const;
  expect((await c2st(b, ring, 2, near)).accuracy).toBeGreaterThan(0.97);
  expect(Math.abs((await c2st(a, moved(b, [2, 0]), 2, near)).accuracy - normalCdf(1))).toBeLessThan(0.04);
  expect(Math.abs((await c2st(a, b, 2, near)).accuracy - 0.5)).toBeLessThan(0.06);
  expect(await c2st(a, b, 2, { epochs: 2, seed: 1 })).toEqual(await c2st(a, b, 2, { epochs: 2, seed: 1 }));
});

test("what cannot be compared is told", async () => {
  const [four, six] = [new Float32Array(4), new Float32Array(6)];
  await expect(wasserstein2(four, six, 2)).rejects.toThrow("a has 2 rows and b has 3, but they must have as many: pass the first 2"); // biome-ignore format: a sentence
  await expect(c2st(four, six, 2)).rejects.toThrow(/must have as many/);
  await expect(c2st(four, four, 2)).rejects.toThrow(/fewer than two for each/);
  await expect(wasserstein2(new Float32Array(5001), new Float32Array(5001), 1)).rejects.toThrow(/slicedWasserstein/);
  expect(() => energyDistance(four, six, 4)).toThrow("energyDistance: a has 1 rows, but at least 2 are needed");
  expect(() => energyDistance(four, six, 0)).toThrow(/dim is 0/);
  expect(() => mmd(four, six, 2)).toThrow(/median distance is 0: pass bandwidths/);
  expect(() => mmd(four, six, 2, { bandwidths: [1, 0] })).toThrow(/bandwidths\[1\] is 0/);
  expect(() => slicedWasserstein(four, Float32Array.of(1, Number.NaN), 2)).toThrow(/b holds NaN in row 0, column 1/);
  expect(() => slicedWasserstein(four, six, 2, { lines: 3 } as never)).toThrow(/no option "lines"/);
});
