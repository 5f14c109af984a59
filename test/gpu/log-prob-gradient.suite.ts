import * as pf from "pushforward";
import { gaussianMixture } from "../oracle/densities.ts";
import { centralDifferences } from "../oracle/differences.ts";
import { differentiableNetwork, discreteLogLikelihood } from "../oracle/discrete.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { logLikelihood, timesOf } from "../oracle/ode.ts";
import { type Space, toData, toFree } from "../oracle/transforms.ts";
import { expect, expectClose, test } from "../suite.ts";
import { asGpu, conditionsFor, forRows, rowOf, strengthen, uniformArray } from "./inputs.ts";

interface Case {
  velocity: pf.MlpOptions;
  n: number;
  method?: "euler" | "midpoint" | "heun2" | "rk4";
  steps?: number;
  probes?: number;
  objective?: "discrete";
  source?: "mixture";
}

const mixture = {
  distribution: "mixture",
  means: [
    [1, -0.5],
    [-0.8, 0.6],
  ],
  scales: [
    [0.7, 0.9],
    [1.1, 0.5],
  ],
  weights: [1, 2],
} as const;

const cases: Record<string, Case> = {
  "two dimensions": { velocity: { dim: 2, hidden: [9, 7] }, n: 37, steps: 3 },
  "one dimension, euler": { velocity: { dim: 1, hidden: [9], activation: "tanh" }, n: 65, method: "euler", steps: 4 },
  "five dimensions, rk4": { velocity: { dim: 5, hidden: [9] }, n: 21, method: "rk4" },
  "three dimensions, heun2, layer by layer": { velocity: { dim: 3, hidden: [131, 9] }, n: 9, method: "heun2" },
  "three probes": { velocity: { dim: 3, hidden: [9] }, n: 33, probes: 3 },
  "Fourier time, classes and context": {
    velocity: { dim: 2, hidden: [9], time: { fourier: 2 }, classes: 3, context: 2 },
    n: 19,
  },
  "the steps themselves": { velocity: { dim: 2, hidden: [9] }, n: 23, steps: 3, objective: "discrete" },
  "a mixture as the source": { velocity: { dim: 2, hidden: [9] }, n: 17, source: "mixture" },
};

/** log p and its gradient beside log p in f64 and its central differences. */
async function expectGradient(
  gpu: pf.Gpu,
  { velocity: options, n, method = "midpoint", steps = 2, probes, objective, source }: Case,
): Promise<void> {
  const velocity = pf.mlp(options);
  const { dim } = options;
  const normalization = {
    mean: Array.from({ length: dim }, (_, i) => 0.3 - i),
    scale: Array.from({ length: dim }, (_, i) => 0.5 + i),
  };
  using flow = pf.Flow.create(gpu, { velocity, seed: 3, normalization, ...(source && { source: mixture }) });
  const net = network(velocity, await strengthen(flow));
  const conditions = conditionsFor(velocity, n, 4);
  const own = uniformArray(n * dim, -1.5, 1.5, 1);
  const x = own.map((value, k) => (normalization.mean[k % dim] ?? 0) + (normalization.scale[k % dim] ?? 1) * value);
  const vectors = probes === undefined ? undefined : uniformArray(probes * n * dim, -1.2, 1.2, 7);
  const got = await pf.logProbGradient(flow, x, {
    solver: { method, steps },
    ...(vectors && { divergence: { probe: "gaussian", probes: probes ?? 1, vectors } }),
    ...(objective && { objective }),
    ...conditions.options,
    chunkSize: 16, // several chunks, whose labels, context and probes are their own
  });
  const times = timesOf(1, 0, steps);
  const density = source && gaussianMixture(mixture.means, mixture.scales, mixture.weights).logDensity;
  const logScale = normalization.scale.reduce((sum, scale) => sum + Math.log(scale), 0);
  const logProbOf = (i: number) => {
    const condition = conditions.conditionOf(i);
    const how = vectors
      ? Array.from({ length: probes ?? 1 }, (_, k) => rowOf(vectors.subarray(k * n * dim), dim, i))
      : ("exact" as const);
    return (row: ArrayLike<number>) => {
      const start = Float64Array.from(
        row,
        (v, k) => (v - (normalization.mean[k] ?? 0)) / (normalization.scale[k] ?? 1),
      );
      const { logProb } = objective
        ? discreteLogLikelihood(differentiableNetwork(net, condition), start, method, times, density)
        : logLikelihood(networkField(net, how, condition), start, method, times, density);
      return logProb - logScale;
    };
  };
  expectClose(
    got.logProb,
    forRows(n, (i) => logProbOf(i)(rowOf(x, dim, i))),
    { relative: 1e-5, absolute: 1e-5 },
  );
  expectClose(
    got.gradient,
    forRows(n, (i) => centralDifferences(logProbOf(i), rowOf(x, dim, i))),
    { relative: 1e-4, absolute: 1e-4 },
  );
  expect(got.nonFinite).toBe(0);
}

for (const [name, given] of Object.entries(cases))
  test(`the gradient of log p agrees with f64 and its differences: ${name}`, ({ gpu }) => expectGradient(gpu, given));

test("the gradient of log p agrees with f64 on a GPU's tiles", async () => {
  const gpu = await asGpu();
  try {
    await expectGradient(gpu, { velocity: { dim: 2, hidden: [9, 7], classes: 2 }, n: 37, steps: 2 });
  } finally {
    gpu.dispose();
  }
});

test("the gradient of log p is that of the density of the data, in spaces of every kind", async ({ gpu }) => {
  const spaces = [
    { kind: "interval", low: -1, high: 3 },
    { kind: "simplex", size: 2 },
    { kind: "positive" },
    null,
    { kind: "circular", period: 360, low: -180 },
    { kind: "latitude" },
  ] as const satisfies readonly Space[];
  const [dim, n] = [7, 29];
  const velocity = pf.mlp({ dim, hidden: [9], circular: { axes: [5] } });
  const normalization = { mean: [0.2, -0.1, 0.3, 0.4, -2, 0, 0.5], scale: [1.3, 0.8, 0.7, 1.1, 2, 1, 0.6] };
  using flow = pf.Flow.create(gpu, { velocity, seed: 5, transform: spaces, normalization });
  const own = uniformArray(n * dim, -1.2, 1.2, 2);
  const rows = Float64Array.from(
    forRows(n, (i) =>
      toData(
        rowOf(own, dim, i).map((value, k) => (normalization.mean[k] ?? 0) + (normalization.scale[k] ?? 1) * value),
        spaces,
      ),
    ),
  );
  const solver = { method: "midpoint", steps: 2 } as const;
  const { logProb, gradient } = await pf.logProbGradient(flow, rows, { solver });
  expectClose(logProb, (await flow.logProb(rows, { solver })).logProb, { relative: 1e-5, absolute: 1e-5 });
  // by the flow without spaces, whose gradient is known to be right, and f64 for all that spaces add
  using plain = pf.Flow.create(gpu, {
    velocity,
    weights: await flow.weights(),
    transform: [...plainAxes(5), spaces[4], null],
  });
  expect(plain.dim).toBe(dim);
  const freeOf = (row: ArrayLike<number>) => toFree(row, spaces).y;
  const flat = Float64Array.from(
    forRows(n, (i) => freeOf(rows.subarray(i * dim, (i + 1) * dim)).map((y, k) => flatOf(y, k))),
  );
  function flatOf(y: number, k: number): number {
    const value = (y - (normalization.mean[k] ?? 0)) / (normalization.scale[k] ?? 1);
    // what is circular stays an angle
    return k === 5 ? (value * 360) / 4 : value;
  }
  const inner = (await pf.logProbGradient(plain, flat, { solver })).gradient;
  const wanted = forRows(n, (i) => {
    const row = rows.slice(i * dim, (i + 1) * dim);
    const g = rowOf(inner, dim, i);
    // along the flow's own coordinates by its gradient, and what the spaces add
    return centralDifferences(
      (x) => freeOf(x).reduce((sum, y, k) => sum + (g[k] ?? 0) * flatOf(y, k), 0) + toFree(x, spaces).logDet,
      row,
      1e-6,
    );
  });
  expectClose(gradient, wanted, { relative: 1e-4, absolute: 1e-4 });
});

const plainAxes = (count: number) => Array.from({ length: count }, () => null);

test("the gradient of log p has the same bits in every chunk and beside all others", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16, 16] }), seed: 2 });
  const x = uniformArray(2 * 131, -2, 2, 3);
  const divergence = { probe: "rademacher", probes: 2 } as const;
  const options = { divergence, seed: 4, solver: { method: "midpoint", steps: 3 } } as const;
  const whole = await pf.logProbGradient(flow, x, options);
  const parts = await pf.logProbGradient(flow, x, { ...options, chunkSize: 37 });
  expect(parts).toEqual(whole);
  const few = await pf.logProbGradient(flow, x.subarray(0, 2 * 5), options);
  expect(few.gradient).toEqual(whole.gradient.subarray(0, 2 * 5));
  expectClose(whole.logProb, (await flow.logProb(x, options)).logProb, { relative: 1e-5, absolute: 1e-5 });
});

test("the gradient of log p is counted where it is not finite, and rows touch no other", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 2 });
  const x = uniformArray(2 * 9, -2, 2, 3);
  const right = await pf.logProbGradient(flow, x);
  x[5] = Number.NaN;
  const { gradient, nonFinite } = await pf.logProbGradient(flow, x);
  expect(nonFinite).toBe(1);
  expect(gradient.subarray(6)).toEqual(right.gradient.subarray(6));
  expect(gradient.subarray(0, 4)).toEqual(right.gradient.subarray(0, 4));
});

test("the gradient of log p is refused in words where there is none", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  using flow = pf.Flow.create(gpu, { velocity });
  using rows = pf.Flow.create(gpu, { velocity, source: { samples: Float32Array.of(1, 2) } });
  using formula = pf.Flow.create(gpu, {
    velocity: pf.wgslVelocity({
      dim: 2,
      code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }",
    }),
  });
  const x = Float32Array.of(1, 2);
  const gone = new AbortController();
  gone.abort(new Error("no more"));
  for (const [call, message] of [
    [() => pf.logProbGradient(rows, x), /logProbGradient needs log p of the source.*samples/],
    [() => pf.logProbGradient(formula, x), /logProbGradient.*wgslVelocity/],
    [() => pf.logProbGradient(flow, x, { solver: { method: "dopri5" } }), /solver is dopri5.*fixed steps/],
    [() => pf.logProbGradient(flow, Float32Array.of(1, 2, 3)), /multiple of 2/],
    [() => pf.logProbGradient(flow, x, { leastDeterminant: 0.1 } as object), /has no option "leastDeterminant"/],
    [() => pf.logProbGradient(flow, x, { signal: gone.signal }), /no more/],
  ] as const)
    await expect(call()).rejects.toThrow(message);
  expect(await pf.logProbGradient(flow, new Float32Array(0))).toEqual({
    logProb: new Float32Array(0),
    gradient: new Float32Array(0),
    nonFinite: 0,
  });
});
