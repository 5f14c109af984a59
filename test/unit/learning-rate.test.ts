import { expect, test } from "vitest";
import type { Flow } from "../../src/flow/flow.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { mlp } from "../../src/network/mlp.ts";
import { rateOfStep } from "../../src/train/learning-rate.ts";
import type { LearningRate } from "../../src/train/optimizer-options.ts";
import { flowMatchingPlan } from "../../src/train/plan.ts";

// The check reads nothing of a flow but its velocity and its source, so no device is needed.
const flow = { velocitySpec: mlp({ dim: 2, hidden: [8] }), source: sourceSpec(undefined, 2) } as Flow;
const rateOf = (steps: number, learningRate?: LearningRate) =>
  rateOfStep(
    "train",
    flowMatchingPlan(flow, Float32Array.of(0, 1), { steps, ...(learningRate !== undefined && { learningRate }) }),
  );
// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

test("a learning rate is 1e-3, a number, or what a function gives, which is told with its step where it is none", () => {
  expect(rateOf(5)(3)).toBe(1e-3);
  expect(rateOf(5, 0.5)(3)).toBe(0.5);
  const rate = rateOf(5, (step) => (step === 3 ? Number.NaN : 0.1));
  expect(rate(2)).toBe(0.1);
  expect(() => rate(3)).toThrow(/learningRate\(3\) is NaN/);
});

test("a cosine rises in a straight line, peaks, and ends at nothing or at what is asked for", () => {
  const rate = rateOf(100, { peak: 2, schedule: "cosine", warmup: 10 });
  expect(rate(0)).toBeCloseTo(0.2, 12);
  expect(rate(9)).toBe(2);
  expect(rate(55)).toBeCloseTo(1, 12);
  expect(rate(100)).toBeCloseTo(0, 12);
  expect(rateOf(10, { peak: 2, schedule: "cosine" })(0)).toBe(2);
  expect(rateOf(10, { peak: 2, schedule: "cosine", final: 1 })(5)).toBeCloseTo(1.5, 12);
});

test("a line falls by the same in every step, a constant rate stays, and a warm-up below 1 is a part of all steps", () => {
  const line = rateOf(10, { peak: 1, schedule: "linear", warmup: 0.2, final: 0.2 });
  const rates = Array.from({ length: 10 }, (_, step) => line(step));
  for (const [step, rate] of [0.5, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3].entries())
    expect(rates[step]).toBeCloseTo(rate, 12);
  const constant = rateOf(10, { peak: 1, schedule: "constant", warmup: 4 });
  expect([0, 1, 2, 3, 4, 9].map(constant)).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
});

test("one cycle rises from peak/25 for three tenths of the steps, and falls to peak/250,000", () => {
  const rate = rateOf(100, { peak: 5, schedule: "one-cycle" });
  expect(rate(0)).toBeCloseTo(0.2, 12);
  expect(rate(15)).toBeCloseTo(2.6, 12);
  expect(rate(30)).toBe(5);
  expect(rate(65)).toBeCloseTo((5 + 2e-5) / 2, 12);
  expect(rate(100)).toBeCloseTo(2e-5, 12);
});

test("a schedule that is none is refused in words", () => {
  const faults: [unknown, RegExp][] = [
    [{ schedule: "cosine" }, /learningRate\.peak is undefined/],
    [{ peak: -1, schedule: "cosine" }, /learningRate\.peak is -1/],
    [{ peak: 1, schedule: "cosin" }, /did you mean "cosine"/],
    [{ peak: 1, schedule: "cosine", warm: 3 }, /did you mean "warmup"/],
    [{ peak: 1, schedule: "cosine", fianl: 0 }, /did you mean "final"/],
    [{ peak: 1, schedule: "cosine", warmup: 1.5 }, /learningRate\.warmup is 1\.5, but it is an integer/],
    [{ peak: 1, schedule: "cosine", warmup: 11 }, /warmup is 11 steps, but the training has 10/],
    [{ peak: 1, schedule: "cosine", warmup: -0.1 }, /warmup is -0\.1/],
    [{ peak: 1, schedule: "linear", final: Number.NaN }, /final is NaN/],
    [{ peak: 1, schedule: "constant", final: 0.1 }, /a constant rate ends at its peak/],
    ["cosine", /learningRate is "cosine"/],
    [null, /learningRate is null/],
  ];
  for (const [learningRate, message] of faults) expect(() => rateOf(10, loose(learningRate))).toThrow(message);
});
