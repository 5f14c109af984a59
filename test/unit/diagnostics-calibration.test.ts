import { expect, test } from "vitest";
import { chiSquareTail, kolmogorovTail, normalCdf } from "../../src/diagnostics/distributions.ts";
import {
  coverage,
  expectedCoverage,
  simulationBasedCalibration,
  tarp,
  uniformity,
} from "../../src/diagnostics/entry.ts";
import { normals, seedKey, uniforms } from "../../src/random/philox.ts";
import * as oracle from "../oracle/special.ts";

test("the distribution functions have the values of the tables", () => {
  for (const x of [-8, -1.959964, -0.3, 0, 1, 3, 6]) expect(normalCdf(x)).toBeCloseTo(oracle.normalCdf(x), 14);
  // 5 % points for 1 to 5 degrees of freedom
  for (const [k, x] of [3.841459, 5.991465, 7.814728, 9.487729, 11.070498].entries())
    expect(chiSquareTail(x, k + 1)).toBeCloseTo(0.05, 7);
  expect([chiSquareTail(0, 3), chiSquareTail(1e5, 3)]).toEqual([1, 0]);
  // far beyond where e^(−x/2) is 0: the median is about k (1 − 2/9k)³
  for (const k of [3000, 3001]) expect(chiSquareTail(k * (1 - 2 / (9 * k)) ** 3, k)).toBeCloseTo(0.5, 4);
  // Kolmogorov's distribution at its 5 % and 1 % points, for many numbers; both series where they meet
  for (const [x, p] of [[1.35810, 0.05], [1.62762, 0.01], [0.82757, 0.5]] as const) // biome-ignore format: a table
    expect(kolmogorovTail(x / 1000.12011, 1_000_000)).toBeCloseTo(p, 4);
  expect(kolmogorovTail(0.0099999, 10_000)).toBeCloseTo(kolmogorovTail(0.01, 10_000), 4);
});

test("uniform numbers are uniform, others are not, and p values of uniform ones are uniform themselves", () => {
  const draw = (seed: number) => Float64Array.from(uniforms(seedKey(seed), 0, 0, 500, 1));
  const found = Array.from({ length: 300 }, (_, seed) => uniformity(draw(seed)));
  for (const kind of ["ks", "chiSquare"] as const)
    expect(uniformity(Float64Array.from(found, (one) => one[kind].pValue)).ks.statistic).toBeLessThan(
      1.63 / Math.sqrt(300),
    );
  const squared = uniformity(draw(1).map((u) => u * u));
  expect(Math.max(squared.ks.pValue, squared.chiSquare.pValue)).toBeLessThan(1e-9);
  // by hand: D = 0.5 at 0.5−, χ² = (2 − 1)² + (0 − 1)²
  expect(uniformity(Float64Array.of(0.6, 0.5), { bins: 2 })).toMatchObject({ ks: { statistic: 0.5 }, chiSquare: { statistic: 2, degrees: 1 } }); // biome-ignore format: a table
});

test("coverage counts what lies within each level", () => {
  expect(coverage(Float64Array.of(0.1, 0.4, 0.5, 0.99), [0.5, 0.9])).toEqual([
    { level: 0.5, share: 0.75, standardError: 0.25 },
    { level: 0.9, share: 0.75, standardError: Math.sqrt(0.09 / 4) },
  ]);
});

const dim = 2;
const n = 400;
const count = 99;

/** θ ~ N(0, I), x = θ + N(0, I): the posterior is N(x/2, I/2). Draws of it, as wide as it is times `width`, and shifted; and log p of both. */
function posteriors(width: number, shift = 0) {
  const parameters = normals(seedKey(1), 0, 0, n, dim);
  const noise = normals(seedKey(2), 0, 0, n, dim);
  const drawn = normals(seedKey(3), 0, 0, n * count, dim);
  const spread = width * Math.SQRT1_2;
  const mean = (i: number, k: number) =>
    ((parameters[i * dim + k] ?? Number.NaN) + (noise[i * dim + k] ?? Number.NaN)) / 2 + shift;
  const draws = drawn.map((z, at) => mean(Math.floor(at / (count * dim)), at % dim) + spread * z);
  /** Up to a constant, [rows]. */
  const logProb = (x: Float32Array, perParameter: number) =>
    Float64Array.from({ length: x.length / dim }, (_, j) => {
      let squares = 0;
      for (let k = 0; k < dim; k++)
        squares += (((x[j * dim + k] ?? Number.NaN) - mean(Math.floor(j / perParameter), k)) / spread) ** 2;
      return -squares / 2;
    });
  return { parameters, draws, logProb: logProb(parameters, 1), drawLogProb: logProb(draws, count) };
}

test("posteriors that are right pass all three tests of calibration", () => {
  const { parameters, draws, logProb, drawLogProb } = posteriors(1);
  const tests = [
    ...simulationBasedCalibration(parameters, draws, dim),
    tarp(parameters, draws, dim),
    expectedCoverage(logProb, drawLogProb),
  ];
  for (const { ks, chiSquare } of tests) expect(Math.min(ks.pValue, chiSquare.pValue)).toBeGreaterThan(0.01);
  const { levels, coverage: shares } = expectedCoverage(logProb, drawLogProb);
  for (const [k, level] of levels.entries())
    expect(Math.abs((shares[k] ?? 0) - level)).toBeLessThan(1.63 / Math.sqrt(n));
  expect([levels[0], levels[50], shares[0], shares[50]]).toEqual([0, 1, 0, 1]);
});

test("posteriors that are too narrow, too wide or shifted fail, each in its way", () => {
  for (const width of [0.5, 2]) {
    const { parameters, draws, logProb, drawLogProb } = posteriors(width);
    const found = expectedCoverage(logProb, drawLogProb, { levels: 10 });
    // in the plane the region of level α of N(m, s²) has the radius s √(−2 ln(1 − α)), which holds 1 − (1 − α)^(s²) of a unit width
    for (const [k, level] of found.levels.entries())
      expect(Math.abs((found.coverage[k] ?? 0) - (1 - (1 - level) ** (width * width)))).toBeLessThan(0.06);
    expect(Math.sign(found.bias)).toBe(Math.sign(width - 1));
    const regions = tarp(parameters, draws, dim);
    expect(Math.sign(regions.bias)).toBe(Math.sign(width - 1));
    for (const { ks } of [found, regions, ...simulationBasedCalibration(parameters, draws, dim)])
      expect(ks.pValue).toBeLessThan(0.01);
  }
  const { parameters, draws } = posteriors(1, 0.5);
  for (const { ranks, values } of simulationBasedCalibration(parameters, draws, dim)) {
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    // Φ(−0.5/(√½·√2)): a draw is below a parameter whose posterior is shifted upwards
    expect(Math.abs(mean - normalCdf(-0.5))).toBeLessThan(0.05);
    expect(ranks.every((rank) => rank <= count)).toBe(true);
  }
});

test("ranks are counts: TARP's by the distance to given points, those of regions by log p, and ties do not bias them", () => {
  const parameters = Float64Array.of(0, 1, 2);
  const draws = Float64Array.of(-1, 1, 3, 4, 5, 6, 0, 1, 1.5);
  expect(simulationBasedCalibration(parameters, draws, 1).map(({ ranks }) => [...ranks])).toEqual([[1, 0, 3]]);
  expect([...tarp(parameters, draws, 1, { references: Float64Array.of(-0.5, 10, 1) }).ranks]).toEqual([0, 3, 2]);
  expect([...expectedCoverage(Float64Array.of(0, 1), Float64Array.of(1, -1, 2, 0)).ranks]).toEqual([1, 1]);
  // one draw each: half of the ranks are 0 and half are 1, which the statistics find uniform
  const few = posteriors(1);
  const one = Float32Array.from(
    { length: n * dim },
    (_, k) => few.draws[Math.floor(k / dim) * count * dim + (k % dim)] ?? 0,
  );
  for (const { ks } of simulationBasedCalibration(few.parameters, one, dim)) expect(ks.pValue).toBeGreaterThan(0.01);
});

test("shapes that do not fit are told", () => {
  const [four, ten] = [new Float32Array(4), new Float32Array(10)];
  expect(() => simulationBasedCalibration(four, ten, 2)).toThrow(
    /draws has 5 rows for 2 parameters, but it is \[n, L, 2\]/,
  );
  expect(() => tarp(four, new Float32Array(8), 2)).toThrow(/all parameters are 0 in dimension 0/);
  expect(() => tarp(Float32Array.of(0, 1), Float32Array.of(0, 1), 1, { references: Float32Array.of(1) })).toThrow(/references has 1 rows/); // biome-ignore format: a sentence
  expect(() => expectedCoverage(four, ten)).toThrow(/drawLogProb has 10 values for 4 parameters/);
  expect(() => expectedCoverage(Float32Array.of(0, -Infinity), four)).toThrow(/holds -Infinity/);
  expect(() => uniformity(Float64Array.of(0.5, 1.5))).toThrow(
    "uniformity: values[1] is 1.5, but all are numbers from 0 to 1",
  );
  expect(() => coverage(Float64Array.of(Number.NaN))).toThrow(/leave out what is not finite/);
  expect(() => coverage(Float64Array.of(0.5), [1])).toThrow(/levels is \[1\]/);
});
