import { expect, test } from "vitest";
import { eightGaussians, pathEnergy, twoMoons } from "../../examples/transport-tasks.ts";
import type { Flow } from "../../src/flow/flow.ts";

test("the energy of straight paths at constant speed is the mean square of their lengths", async () => {
  const starts = Float32Array.of(0, 0, 1, 1);
  const [steps, way] = [4, [3, 4, 0, 0]];
  const saved = Float32Array.from({ length: 4 * (steps + 1) }, (_, i) => {
    return (starts[i % 4] ?? 0) + ((way[i % 4] ?? 0) * Math.floor(i / 4)) / steps;
  });
  const flow = { dim: 2, push: async () => ({ saved }) } as unknown as Flow;
  expect(await pathEnergy(flow, starts, steps)).toBeCloseTo(25 / 2, 5);
});

test("the sets are those of the tutorials: eight modes on a circle of radius 5, moons of radius 3", () => {
  const modes = eightGaussians(4000, 1);
  const radii = Array.from({ length: 4000 }, (_, i) => Math.hypot(modes[2 * i] ?? 0, modes[2 * i + 1] ?? 0));
  expect(radii.reduce((sum, r) => sum + r, 0) / 4000).toBeCloseTo(5.03, 1);
  const moons = twoMoons(4000, 1);
  expect(Math.min(...moons)).toBeGreaterThan(-4.01);
  expect(Math.max(...moons)).toBeLessThan(5.61);
});
