import { expect, test } from "vitest";
import { paths, pathTimes } from "../../src/path/paths.ts";
import type { FlowMatchingOptions, TimeDistribution } from "../../src/train/flow-matching-options.ts";
import type { FlowMatchingPlan } from "../../src/train/plan.ts";
import { trainingTimes } from "../../src/train/times.ts";
import { entriesAt, stratifiedLevel } from "../gpu/time-table.ts";

const made = (options: Omit<FlowMatchingOptions, "steps">) =>
  trainingTimes("training", { path: options.path, options } as unknown as FlowMatchingPlan);

/** Entry k of a table: α, σ, α̇, σ̇, t, w. */
const entry = (table: Float32Array | undefined, k: number) => [...(table?.subarray(8 * k, 8 * k + 6) ?? [])];

const single = Math.fround;
const u = (k: number) => (k + 0.5) / pathTimes;
const some = [0, 1, 7, 1000, 20_000, 32_767, 32_768, 50_001, 65_000, 65_534, 65_535];

test("uniform times on the straight path need no table; on another one they are the middles of equal parts", () => {
  expect(made({}).table).toBeUndefined();
  expect(made({ time: "stratified" }).table).toBeUndefined();
  const { table } = made({ path: "cosine" });
  for (const k of some)
    expect(entry(table, k)).toEqual(
      [...(["alpha", "sigma", "dAlpha", "dSigma"] as const).map((part) => paths.cosine[part](u(k))), u(k), 1].map(
        single,
      ),
    );
});

/** The standard normal distribution by Simpson's rule from 0. */
function normalDistribution(z: number): number {
  const density = (x: number) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(z);
  for (let i = 1; i < 1000; i++) sum += (i % 2 === 1 ? 4 : 2) * density((z * i) / 1000);
  return 0.5 + (sum * z) / 3000;
}

const closed: [string, TimeDistribution, (t: number) => number][] = [
  ["beta(1, 1), the uniform one", { beta: [1, 1] }, (t) => t],
  ["beta(2, 1)", { beta: [2, 1] }, (t) => t * t],
  ["beta(1, 0.5)", { beta: [1, 0.5] }, (t) => 1 - Math.sqrt(1 - t)],
  ["beta(2, 2)", { beta: [2, 2] }, (t) => t * t * (3 - 2 * t)],
  ["beta(1/2, 1/2)", { beta: [0.5, 0.5] }, (t) => (2 / Math.PI) * Math.asin(Math.sqrt(t))],
  ["beta(1, 300)", { beta: [1, 300] }, (t) => -Math.expm1(300 * Math.log1p(-t))],
  ["logit-normal(0, 1)", { logitNormal: [0, 1] }, (t) => normalDistribution(Math.log(t / (1 - t)))],
  ["logit-normal(-1, 0.3)", { logitNormal: [-1, 0.3] }, (t) => normalDistribution((Math.log(t / (1 - t)) + 1) / 0.3)],
  ["one's own", (level) => level ** 3, (t) => Math.cbrt(t)],
];

for (const [name, time, distribution] of closed)
  test(`times have the distribution that was asked for: ${name}`, () => {
    const { table } = made({ time });
    for (const k of some) {
      const [alpha, sigma, , , t = Number.NaN] = entry(table, k);
      expect(alpha).toBe(t);
      expect(sigma).toBeCloseTo(1 - t, 6);
      // t is an f32: what half of its last digit is worth there, on top of the quantile's own error
      const digit = t === 0 ? 0 : 2 ** (Math.floor(Math.log2(t)) - 24);
      const worth = Math.abs(distribution(Math.min(1, t + digit)) - distribution(t - digit));
      // times stay 2⁻²⁴ away from the ends
      if (t === 2 ** -24) expect(distribution(t)).toBeGreaterThanOrEqual(u(k));
      else if (t === 1 - 2 ** -24) expect(distribution(t)).toBeLessThanOrEqual(u(k));
      else expect(Math.abs(distribution(t) - u(k))).toBeLessThan(1e-9 + worth);
    }
  });

test("times of extreme distributions are in order and inside (0, 1)", () => {
  for (const time of [
    { beta: [0.01, 0.01] },
    { beta: [1e6, 3] },
    { logitNormal: [20, 20] },
    (v: number) => Math.round(v),
  ]) {
    const { table } = made({ time: time as TimeDistribution });
    const times = Array.from({ length: pathTimes }, (_, k) => table?.[8 * k + 4] ?? Number.NaN);
    expect(times.findIndex((t, k) => !(t >= (times[k - 1] ?? 2 ** -24) && t < 1))).toBe(-1);
  }
});

test("weights are tabulated with the times, and levels find their entries as the device does", () => {
  const { table, made: remembered } = made({ weighting: (t) => 1 + t, time: { beta: [2, 1] } });
  if (!table) throw new Error("there is a table");
  expect(remembered).toMatchObject({ time: { beta: [2, 1] }, path: undefined });
  expect((remembered.weighting as Float32Array).length).toBe(pathTimes);
  const levels = Float32Array.of(2 ** -24, 2 ** -16, 0.5, 1);
  const { times, path, weights } = entriesAt(table, levels);
  for (const [i, k] of [0, 0, 32_767, 65_535].entries()) {
    expect(times[i]).toBe(single(Math.sqrt(u(k))) || Number.NaN);
    expect([...path.subarray(4 * i, 4 * i + 4)]).toEqual(entry(table, k).slice(0, 4));
    expect(weights[i]).toBe(entry(table, k)[5]);
    expect(weights[i]).toBeCloseTo(1 + (times[i] ?? 0), 6);
  }
});

test("each sample of a batch has a part of (0, 1] of its own", () => {
  for (const count of [1, 3, 64, 1000, 4_194_240])
    for (const i of [0, Math.floor(count / 3), count - 1])
      for (const uniform of [2 ** -24, 0.5, 1]) {
        const level = stratifiedLevel(uniform, i, count);
        expect(level).toBeGreaterThan(0);
        expect(level).toBeLessThanOrEqual(1);
        // f32 has 24 bits
        expect(Math.abs(level - (i + uniform) / count)).toBeLessThanOrEqual(2 ** -23);
      }
});

test("the entries of a bridge have its spread, the rate of that, and for the score nothing but the noise, which counts its variance", () => {
  const [velocity, score] = [made({ bridge: 2 }).table, made({ bridge: 2, predict: "score" }).table];
  for (const k of some) {
    const t = u(k);
    const gamma = 2 * Math.sqrt(t * (1 - t));
    const wanted = [gamma, (1 - 2 * t) / Math.sqrt(t * (1 - t))];
    for (const [n, value] of [...(velocity?.subarray(8 * k + 6, 8 * k + 8) ?? [])].entries())
      expect(value / (wanted[n] ?? 0)).toBeCloseTo(1, 5);
    const [, , dAlpha, dSigma, , weight, spread = 0, rate = 0] = score?.subarray(8 * k, 8 * k + 8) ?? [];
    expect([dAlpha, dSigma]).toEqual([0, 0]);
    expect([(weight ?? 0) / gamma ** 2, spread / gamma, -rate * gamma].map((value) => Math.round(value * 1e5))).toEqual(
      [1e5, 1e5, 1e5],
    );
  }
  expect(made({ bridge: 2, predict: "score", weighting: () => 3 }).table?.[5]).toBe(3);
  expect(() => made({ predict: "score" })).toThrow(/predict is "score", but there is no bridge/);
});

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

for (const [name, options, message] of [
  ["a word", { time: loose("logit") }, /time is "logit", but it is "uniform", "stratified"/],
  ["an unknown one", { time: loose({ logitnormal: [0, 1] }) }, /did you mean "logitNormal"/],
  ["one number for two", { time: loose({ beta: 2 }) }, /time is an object, but it is \{ logitNormal/],
  ["two at once", { time: loose({ beta: [1, 1], logitNormal: [0, 1] }) }, /time is an object, but it is/],
  ["none", { time: loose({}) }, /time is an object, but it is/],
  ["a deviation of nothing", { time: { logitNormal: [0, 0] } }, /logitNormal\[1\] is 0/],
  ["a beta of nothing", { time: { beta: [0, 1] } }, /beta\[0\] is 0/],
  ["a time after the end", { time: (level: number) => 2 * level }, /time\(0\.50000\d+\) is 1\.00001/],
  ["a weight below 0", { weighting: (t: number) => t - 0.5 }, /weighting\(0\.0000\d+\) is -0\.49/],
  ["weights that are all 0", { weighting: () => 0 }, /weighting is 0 at all times/],
  ["a weight that is no number", { weighting: () => Number.NaN }, /weighting\(.*\) is NaN/],
] as const)
  test(`training refuses times and weights of a wrong kind: ${name}`, () => {
    expect(() => made(options as Omit<FlowMatchingOptions, "steps">)).toThrow(message);
  });
