import { expect, test } from "vitest";
import { gaussianLinear, twoMoons } from "../../examples/posterior-tasks.ts";
import { simulationBasedCalibration, tarp } from "../../src/diagnostics/entry.ts";

test.each([
  ["two moons", twoMoons],
  ["gaussian linear", gaussianLinear(3)],
])("%s: draws of the known posterior are calibrated, so prior, simulator and posterior belong together", (_, task) => {
  const [tests, count] = [300, 50];
  const parameters = task.prior(tests, 1);
  const observations = task.simulate(parameters, 1);
  const draws = new Float32Array(tests * count * task.dim);
  for (let i = 0; i < tests; i++) {
    const observation = observations.subarray(i * task.context, (i + 1) * task.context);
    draws.set(task.reference(observation, count, 1000 + i), i * count * task.dim);
  }
  const ranks = simulationBasedCalibration(parameters, draws, task.dim);
  for (const { ks, chiSquare } of [...ranks, tarp(parameters, draws, task.dim)])
    expect(Math.min(ks.pValue, chiSquare.pValue)).toBeGreaterThan(0.005);
});

test("two moons: the known posterior's draws give the observation by a point of the crescent, half of them on either side", () => {
  const observation = Float32Array.of(0.05, -0.1);
  const draws = twoMoons.reference(observation, 500, 3);
  let above = 0;
  for (let i = 0; i < 500; i++) {
    const [a, b] = [draws[2 * i] ?? Number.NaN, draws[2 * i + 1] ?? Number.NaN];
    const p = (observation[0] ?? 0) + Math.abs(a + b) / Math.SQRT2 - 0.25;
    const q = (observation[1] ?? 0) - (b - a) / Math.SQRT2;
    // ten deviations of 0.01 about the radius
    expect(Math.abs(Math.hypot(p, q) - 0.1)).toBeLessThan(0.1);
    if (a + b > 0) above++;
  }
  expect(Math.abs(above - 250)).toBeLessThan(60);
});
