import { expect, test } from "vitest";
import { adaptive, dopri5 } from "../oracle/dopri5.ts";
import { eightGaussians, linear, rotation } from "../oracle/fields.ts";
import { standardLogDensity } from "../oracle/ode.ts";

// from (.5, .2): accepted, rejected, evaluations, first step, errors of x and log p
const digits = [
  [1e-3, 4, 4, 50, 9.16e-2, 4.8e-3, 3.4e-2],
  [1e-5, 10, 5, 92, 3.65e-2, 5.5e-5, 1.4e-4],
  [1e-7, 21, 7, 170, 1.45e-2, 4.1e-7, 1.4e-6],
] as const;

for (const [tolerance, accepted, rejected, nfe, first, errorX, errorLogProb] of digits) {
  test(`dopri5 of the oracle takes the known steps on the eight Gaussians at ${tolerance}`, () => {
    const x0 = [0.5, 0.2];
    const solved = dopri5(eightGaussians, x0, { rtol: tolerance, atol: tolerance, logProb: standardLogDensity(x0) });
    expect([solved.accepted, solved.rejected, solved.nfe]).toEqual([accepted, rejected, nfe]);
    expect(solved.firstStep / first).toBeCloseTo(1, 2);
    const [a = 0, b = 0, logProb = 0] = solved.y;
    const x = Math.max(Math.abs(a - 2.2974346027), Math.abs(b - 0.6540275473));
    // two digits are printed
    expect(x / errorX).toBeCloseTo(1, 1);
    expect(Math.abs(logProb + 4.6694354937) / errorLogProb).toBeCloseTo(1, 1);
  });
}

test("dopri5 of the oracle solves linear fields and rotations to its tolerance, forwards and back", () => {
  const growth = dopri5(linear(1, 0.7), [1], { rtol: 1e-9, atol: 1e-9 });
  expect(growth.y[0]).toBeCloseTo(2.0137527075, 8);
  const turned = dopri5(rotation(Math.PI), [1, 0], { rtol: 1e-9, atol: 1e-9, from: 1, to: 0 });
  expect(turned.y[0]).toBeCloseTo(-1, 7);
  expect(turned.y[1]).toBeCloseTo(0, 7);
});

test("bosh3 and tsit5 of the oracle solve the eight Gaussians to their tolerances", () => {
  const x0 = [0.5, 0.2];
  for (const method of ["bosh3", "tsit5"] as const) {
    const errors = [1e-4, 1e-7].map((tolerance) => {
      const solved = adaptive(method, eightGaussians, x0, {
        rtol: tolerance,
        atol: tolerance,
        logProb: standardLogDensity(x0),
        maxSteps: 10_000,
      });
      const [a = 0, b = 0, logProb = 0] = solved.y;
      return Math.max(Math.abs(a - 2.2974346027), Math.abs(b - 0.6540275473), Math.abs(logProb + 4.6694354937));
    });
    expect(errors[0], method).toBeLessThan(1e-2);
    expect(errors[1], method).toBeLessThan(1e-5);
  }
});
