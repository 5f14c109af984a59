import { describe, expect, test } from "vitest";
import { centralDifferences, relativeError } from "../oracle/differences.ts";
import {
  affine,
  type ClosedForm,
  checkerboard,
  eightGaussians,
  gaussian,
  linear,
  rotation,
  shear,
} from "../oracle/fields.ts";
import { divergence, evaluate, network } from "../oracle/mlp.ts";
import {
  type Field,
  logLikelihood,
  type Method,
  type MethodName,
  push,
  pushRows,
  standardLogDensity,
  tableaux,
  timesOf,
} from "../oracle/ode.ts";
import { adamState, adamStep, clipFactor, emaStep } from "../oracle/optimisers.ts";
import { assignment, gaussianEntropy, gaussianFit, wasserstein2 } from "../oracle/transport.ts";
import { at, dot } from "../oracle/vectors.ts";

const digits = (got: ArrayLike<number>, expected: readonly number[], places = 9) => {
  expect(got.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(at(got, i)).toBeCloseTo(value, places);
};

describe("closed forms have their known digits", () => {
  const target = gaussian([1, -2], 0.5);
  test.each([
    [0, 0.7, -2.7, -2, -2.1278770664],
    [0.25, 0.9405405405, -3.427027027, -2.3783783784, -2.5374794633],
    [0.5, 1.24, -4.04, -2.4, -5.3627262566],
    [0.75, 1.1384615385, -2.6769230769, -0.6153846154, -12.6562510328],
    [1, 0.3, 0.7, 2, -16.0115827053],
  ])("Gaussian at t = %f", (t, u0, u1, div, logDensity) => {
    digits(
      [...Array.from(target.velocity(t, [0.3, 0.7])), target.divergence(t, []), target.logDensity(t, [0.3, 0.7])],
      [u0, u1, div, logDensity],
    );
  });

  test.each<[number, number, number, number, number, number, number]>([
    [0.5, 0.2, 0, -0.5, -0.2, -2, -1.9828770664],
    [0.5, 0.2, 0.25, 0.4633014873, 0.1853205624, 1.6303051944, -1.8605209025],
    [0.5, 0.2, 0.5, 2.8898277802, 1.1556546433, 6.5767938744, -3.2893216622],
    [0.5, 0.2, 0.75, 3.9637487459, 1.5577060263, 10.8845302048, -11.2844174973],
    [0.5, 0.2, 1, 0.5, 0.2, 2, -23.0465328063],
    [2, -1, 0.25, 0.1118844651, -0.0572686754, -0.7958465273, -4.6952026676],
    [2, -1, 0.5, 0.9539840662, -0.7518858887, 0.3322248512, -3.9892750938],
    [2, -1, 0.75, 1.6088526666, -2.1146475483, 3.1296062101, -3.6461584835],
    [2, -1, 1, 2, -1, 2, -5.7771039236],
    [-1.3, 2.4, 0.25, 0.1566309004, -0.2984521315, -1.116514691, -6.3448700852],
    [-1.3, 2.4, 0.75, -2.1204739853, 0.9898684668, -0.8731370146, -5.0658484946],
    [0, 0, 0.25, 0, 0, 2.0925976237, -1.7147971552],
    [0, 0, 0.5, 0, 0, 22.1790184734, -4.1259095871],
    [0, 0, 0.75, 0, 0, 82.6844109444, -16.7628045174],
  ])("eight Gaussians at (%f, %f), t = %f", (x0, x1, t, u0, u1, div, logDensity) => {
    const x = [x0, x1];
    digits(
      [...Array.from(eightGaussians.velocity(t, x)), eightGaussians.divergence(t, x), eightGaussians.logDensity(t, x)],
      [u0, u1, div, logDensity],
    );
  });

  test.each<[number, number, number, number, number, number, number]>([
    [2, 0.5, 0.2, 0.25, 0.5752469607, 0.3230443916, -1.9223236875],
    [2, 0.5, 0.2, 0.5, 0.9900003446, 0.7211416379, -2.6966053063],
    [2, 1.3, -0.7, 0.75, 3.5288735577, -0.9134468494, -4.4334416592],
    [1 / 0.45, 0.5, 0.2, 0.5, 1.0442488299, 0.8635933943, -2.8736569374],
    [1 / 0.45, 1.3, -0.7, 0.75, 4.1899919266, -0.8136709655, -5.7119451449],
  ])("checkerboard of side %f at (%f, %f), t = %f", (e, x0, x1, t, u0, u1, logDensity) => {
    const field = checkerboard(e);
    digits([...Array.from(field.velocity(t, [x0, x1])), field.logDensity(t, [x0, x1])], [u0, u1, logDensity]);
  });

  test("linear field: log p_t in three dimensions", () => {
    const field = linear(3, 0.7);
    digits([field.logDensity(0.5, [0.5, -1, 2]), field.logDensity(1, [0.5, -1, 2])], [-5.1103520221, -5.50413263]);
  });

  test("affine field: exact flow and log-determinant", () => {
    const field = affine(
      [
        [0.3, 0.8],
        [-0.5, -0.2],
      ],
      [0.1, -0.4],
    );
    digits(field.flow(1, [0.3, 0.7]), [0.8428359784, -0.0696794173]);
    expect(field.divergence(0, [])).toBeCloseTo(0.1, 14);
  });

  const fields: [string, ClosedForm, number][] = [
    ["gaussian", target, 1e-7],
    ["eight Gaussians", eightGaussians, 1e-6],
    ["linear", linear(2, 0.7), 1e-8],
    ["rotation", rotation(Math.PI), 1e-8],
    ["shear", shear(1.7), 1e-8],
    [
      "affine",
      affine(
        [
          [0.3, 0.8],
          [-0.5, -0.2],
        ],
        [0.1, -0.4],
      ),
      1e-8,
    ],
    ["checkerboard", checkerboard(2), 1e-6],
  ];
  test.each(fields)("%s: ∂_t p + div(p u) = 0 and div u is the trace of the Jacobian", (_name, field, tolerance) => {
    for (const t of [0.2, 0.55, 0.8]) {
      for (const x of [
        [0.3, -0.4],
        [1.1, 0.8],
        [-0.9, 1.6],
      ]) {
        const [change = 0] = centralDifferences((s) => field.logDensity(at(s, 0), x), [t]);
        const gradient = centralDifferences((y) => field.logDensity(t, y), x);
        const J = [0, 1].map((i) =>
          at(
            centralDifferences((y) => at(field.velocity(t, y), i), x),
            i,
          ),
        );
        expect(Math.abs(at(J, 0) + at(J, 1) - field.divergence(t, x))).toBeLessThan(tolerance);
        expect(Math.abs(change + dot(field.velocity(t, x), gradient) + field.divergence(t, x))).toBeLessThan(tolerance);
      }
    }
  });

  test.each(fields.filter(([, field]) => field.flow))(
    "%s: 128 rk4 steps find the exact flow and log p",
    (_name, field) => {
      const x0 = [0.3, 0.7];
      const { x, logProb } = push(field, x0, "rk4", timesOf(0, 1, 128), standardLogDensity(x0));
      expect(relativeError(x, field.flow?.(1, x0) ?? [])).toBeLessThan(1e-7);
      expect(Math.abs(logProb - field.logDensity(1, field.flow?.(1, x0) ?? []))).toBeLessThan(1e-6);
    },
  );
});

describe("fixed steps have their known digits", () => {
  test.each<[Method, number, number, number, number, number, number]>([
    ["euler", 2.1606628761, 0.734600033, -5.6635658429, 0.383509394, 0.1585875903, -4.4887018963],
    ["midpoint", 2.2886910404, 0.675591415, -4.9004628392, 0.5037706409, 0.1966151365, -4.7170882139],
    ["heun2", 2.2820387362, 0.6822099142, -4.9461472094, 0.5091120044, 0.1996879233, -4.6044372229],
    ["ralston", 2.2861189433, 0.6780423157, -4.9107528985, 0.5054899921, 0.1974776488, -4.6837888862],
    ["rk4", 2.2968398324, 0.6552856944, -4.6763002608, 0.5001664514, 0.1998871082, -4.6610538051],
    ["rk4-3/8", 2.2970879743, 0.6548748141, -4.6726083533, 0.4999480578, 0.1999403241, -4.6633147],
  ])("%s: ten steps on the eight Gaussians, there and back", (method, a, b, logProb, c, d, likelihood) => {
    const x0 = [0.5, 0.2];
    const there = push(eightGaussians, x0, method, timesOf(0, 1, 10), standardLogDensity(x0));
    digits([...there.x, there.logProb], [a, b, logProb]);
    const exact = push(eightGaussians, x0, "rk4", timesOf(0, 1, 2000)).x;
    digits(exact, [2.2974346027, 0.6540275473], 9);
    const back = logLikelihood(eightGaussians, exact, method, timesOf(1, 0, 10));
    digits([...back.x0, back.logProb], [c, d, likelihood]);
  });

  test.each<[readonly number[], readonly number[], number]>([
    [[0.5, 0.2], [2.2974346027, 0.6540275473], -4.6694354937],
    [[-1, 0.3], [-2.7341274165, 0.3862955194], -2.470771124],
    [[0.01, 1.5], [0.0082155594, 3.0468193671], -2.0284266757],
  ])("the flow of the eight Gaussians from %j", (x0, x1, logProb) => {
    const pushed = push(eightGaussians, x0, "rk4", timesOf(0, 1, 2000), standardLogDensity(x0));
    digits([...pushed.x, pushed.logProb], [...x1, logProb]);
  });

  test.each<[Method, number, number, number]>([
    ["euler", 1.1292347815, -1.6984521766, -0.5478207812],
    ["midpoint", 1.1499654215, -1.6500806831, -0.7384682323],
    ["heun2", 1.1505159737, -1.6487960615, -0.7478207812],
    ["rk4", 1.150000072, -1.649999832, -0.7415857486],
  ])("%s: ten steps to the Gaussian target", (method, a, b, logProb) => {
    const x0 = [0.3, 0.7];
    const pushed = push(gaussian([1, -2], 0.5), x0, method, timesOf(0, 1, 10), standardLogDensity(x0));
    digits([...pushed.x, pushed.logProb], [a, b, logProb]);
  });

  test.each<[Method, number, readonly number[], readonly number[] | undefined]>([
    ["euler", 1.9671513573, [-1.5933623253, 0.1560636299], [0.8703197693, -0.0693703507]],
    ["midpoint", 2.0126605567, [-1.0109657303, -0.0506869839], [0.843118436, -0.0701358215]],
    ["heun2", 2.0126605567, [-1.0109657303, -0.0506869839], [0.843118436, -0.0701358215]],
    ["ralston", 2.0126605567, [-1.0109657303, -0.0506869839], undefined],
    ["heun3", 2.0137336575, [-0.9960804656, -0.0010045696], undefined],
    ["rk4", 2.0137524414, [-0.999934032, 0.0002460702], [0.8428359161, -0.0696793424]],
  ])("%s: ten steps of y' = .7y, a half turn, and the affine field", (method, growth, turned, moved) => {
    const times = timesOf(0, 1, 10);
    digits(push(linear(1, 0.7), [1], method, times).x, [growth]);
    const half = push(rotation(Math.PI), [1, 0], method, times, -1.25);
    digits(half.x, turned);
    expect(half.logProb).toBe(-1.25);
    if (moved)
      digits(
        push(
          affine(
            [
              [0.3, 0.8],
              [-0.5, -0.2],
            ],
            [0.1, -0.4],
          ),
          [0.3, 0.7],
          method,
          times,
        ).x,
        moved,
      );
  });

  test.each(Object.keys(tableaux) as MethodName[])(
    "%s: order conditions, and log p falls by a·d·Δt to rounding",
    (method) => {
      const { b, c, order } = tableaux[method];
      for (let k = 0; k < order; k++) {
        expect(b.reduce((sum: number, weight, i) => sum + weight * at(c, i) ** k, 0)).toBeCloseTo(1 / (k + 1), 14);
      }
      expect(push(linear(3, 0.7), [1, 2, 3], method, timesOf(0, 1, 7)).logProb).toBeCloseTo(-2.1, 13);
    },
  );

  // x and log p on the eight Gaussians, between 64 and 128 steps
  test.each<[Method, number, number]>([
    ["euler", 0.99, 0.99],
    ["midpoint", 1.93, 1.95],
    ["heun2", 1.94, 1.97],
    ["ralston", 1.94, 1.96],
    ["heun3", 2.94, 2.95],
    ["ssprk3", 2.91, 2.93],
    ["rk4", 3.95, 3.98],
  ])("%s converges with orders %f in x and %f in log p", (method, orderOfX, orderOfLogProb) => {
    const x0 = [0.5, 0.2];
    const exact = push(eightGaussians, x0, "rk4", timesOf(0, 1, 3000), standardLogDensity(x0));
    const errors = [64, 128].map((steps) => {
      const pushed = push(eightGaussians, x0, method, timesOf(0, 1, steps), standardLogDensity(x0));
      return [
        Math.hypot(at(pushed.x, 0) - at(exact.x, 0), at(pushed.x, 1) - at(exact.x, 1)),
        Math.abs(pushed.logProb - exact.logProb),
      ];
    });
    const order = (i: number) => Math.log2(at(errors[0] ?? [], i) / at(errors[1] ?? [], i));
    expect(Math.abs(order(0) - orderOfX)).toBeLessThan(0.02);
    expect(Math.abs(order(1) - orderOfLogProb)).toBeLessThan(0.02);
  });

  test("forward and backward log p of midpoint differ by the known gaps", () => {
    const x0 = [0.5, 0.2];
    for (const [steps, inX, inLogProb] of [
      [32, 9.6e-5, 7.9e-4],
      [64, 1.2e-5, 9.5e-5],
    ] as const) {
      const there = push(eightGaussians, x0, "midpoint", timesOf(0, 1, steps), standardLogDensity(x0));
      const back = logLikelihood(eightGaussians, there.x, "midpoint", timesOf(1, 0, steps));
      expect(relativeError(back.x0, x0, 1) / inX).toBeCloseTo(1, 1);
      expect(Math.abs(back.logProb - there.logProb) / inLogProb).toBeCloseTo(1, 1);
    }
  });

  test("rows are pushed one by one, each with its own field", () => {
    const fields: Field[] = [linear(2, 0.7), rotation(1)];
    const both = pushRows((i) => fields[i] as Field, [1, 2, 3, 4], "rk4", timesOf(0, 1, 5), [0.5, 0.25]);
    const second = push(rotation(1), [3, 4], "rk4", timesOf(0, 1, 5), 0.25);
    expect(Array.from(both.x.slice(2))).toEqual(Array.from(second.x));
    expect(both.logProb[1]).toBe(0.25);
  });

  test("ten steps of .1 are ten steps and end at exactly 1", () => {
    expect(timesOf(0, 1, 10)).toHaveLength(11);
    expect(at(timesOf(0, 1, 10), 10)).toBe(1);
    expect(at(timesOf(1, 0, 3), 3)).toBe(0);
  });
});

describe("Hutchinson's estimate (Hutchinson 1989)", () => {
  const J = [1, 2, -1, 0.5, -0.3, 4, 0, 1, 2];
  const net = network(
    { dim: 3, hidden: [] },
    { "net.0.weight": J.flatMap((v, i) => (i % 3 === 2 ? [v, 0] : [v])), "net.0.bias": [0, 0, 0] },
  );

  test("over all eight sign vectors: mean 2.7, variance 32.25", () => {
    const estimates = Array.from({ length: 8 }, (_, k) => {
      const z = [0, 1, 2].map((i) => ((k >> i) & 1 ? 1 : -1));
      return divergence(net, 0, [0, 0, 0], [z]);
    });
    const mean = estimates.reduce((sum, e) => sum + e, 0) / 8;
    expect(mean).toBeCloseTo(2.7, 13);
    expect(estimates.reduce((sum, e) => sum + (e - mean) ** 2, 0) / 8).toBeCloseTo(32.25, 11);
    expect(divergence(net, 0, [1, 2, 3])).toBeCloseTo(2.7, 13);
    expect(Array.from(evaluate(net, 0, [1, 0, 0]).velocity)).toEqual([1, 0.5, 0]);
  });
});

describe("optimisers", () => {
  test.each([
    [0, [0.9000000005, 0.8004122287, 0.7015862729, 0.6039390606]],
    [0.01, [0.8990000005, 0.7985190272, 0.6989111832, 0.6005985742]],
  ])("Adam with weight decay %f has its known digits", (weightDecay, expected) => {
    const theta = Float64Array.of(1);
    const state = adamState(1);
    const path = expected.map(() => {
      adamStep(theta, [2 * at(theta, 0)], state, { learningRate: 0.1, weightDecay });
      return at(theta, 0);
    });
    digits(path, expected);
  });

  test("the moving average and the clipping factor", () => {
    const average = Float64Array.of(1, 2);
    emaStep(average, [3, 0], 0.75);
    expect(Array.from(average)).toEqual([1.5, 1.5]);
    expect(clipFactor({ a: [3], b: [0, 4] }, 1)).toBeCloseTo(0.2, 15);
    expect(clipFactor({ a: [3], b: [0, 4] }, 10)).toBe(1);
  });
});

describe("transport and Gaussian fits", () => {
  test("the assignment is the best of all permutations of six", () => {
    const n = 6;
    const cost = Array.from({ length: n * n }, (_, k) => (Math.sin(13 * k * k + 1) + 1) ** 2);
    const permutations = (rest: number[]): number[][] =>
      rest.length === 0 ? [[]] : rest.flatMap((v) => permutations(rest.filter((w) => w !== v)).map((p) => [v, ...p]));
    const price = (p: ArrayLike<number>) => Array.from(p).reduce((sum, j, i) => sum + at(cost, i * n + j), 0);
    const best = Math.min(...permutations([0, 1, 2, 3, 4, 5]).map(price));
    expect(price(assignment(cost, n))).toBeCloseTo(best, 13);
  });

  test("W2 of a shifted and shuffled sample is the length of the shift", () => {
    const n = 101;
    const x = Array.from({ length: 2 * n }, (_, i) => 5 * Math.sin(7 * i * i));
    const y = Array.from(
      { length: 2 * n },
      (_, k) => at(x, 2 * ((Math.floor(k / 2) * 37) % n) + (k % 2)) + (k % 2 ? 0.4 : 0.3),
    );
    expect(wasserstein2(x, y, 2)).toBeCloseTo(0.5, 12);
    expect(wasserstein2(x, x, 2)).toBe(0);
  });

  test("mean, covariance and entropy of a Gaussian fit", () => {
    const { mean, covariance } = gaussianFit([1, 0, -1, 2, 3, 4], 2);
    digits(mean, [1, 2]);
    digits(covariance, [8 / 3, 4 / 3, 4 / 3, 8 / 3]);
    expect(gaussianEntropy([4.126, 0, 0, 4.126], 2)).toBeCloseTo(4.255, 3);
    expect(gaussianEntropy(covariance, 2)).toBeCloseTo(
      Math.log(2 * Math.PI * Math.E) + 0.5 * Math.log(64 / 9 - 16 / 9),
      13,
    );
  });
});
