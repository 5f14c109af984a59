import { expect, test } from "vitest";
import { chiSquareCdf, normalCdf, transforms, uniformityDistance } from "../../examples/calibration.ts";
import { normals, seedKey } from "../../src/random/philox.ts";

test("the distribution functions have the values of the tables", () => {
  for (const [x, value] of [[0, 0.5], [1, 0.8413447], [-1.959964, 0.025], [3, 0.9986501]] as const) // biome-ignore format: a table
    expect(normalCdf(x)).toBeCloseTo(value, 6);
  // 95 % points for 1 to 5 degrees of freedom
  for (const [k, x] of [3.841459, 5.991465, 7.814728, 9.487729, 11.070498].entries())
    expect(chiSquareCdf(x, k + 1)).toBeCloseTo(0.95, 5);
  expect(chiSquareCdf(0, 3)).toBe(0);
});

test("transforms of a Gaussian are uniform, and those of a wider one are not", () => {
  const x = normals(seedKey(1), 0, 0, 4000, 5);
  const right = transforms(x, 5);
  // Kolmogorov–Smirnov: 1.63/√n at the 1 % level
  for (const values of [...right.coordinates, right.radius])
    expect(uniformityDistance(values)).toBeLessThan(1.63 / Math.sqrt(4000));
  expect(
    uniformityDistance(
      transforms(
        x.map((value) => 1.3 * value),
        5,
      ).radius,
    ),
  ).toBeGreaterThan(0.1);
});
