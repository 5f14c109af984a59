import * as pf from "pushforward";
import { compareSolvers, coverage, pit, samplePosteriors, straightness, uniformity } from "pushforward/diagnostics";
import { judgePosterior, learnPosterior } from "../../examples/posterior-flow.ts";
import { gaussianLinear } from "../../examples/posterior-tasks.ts";
import { gaussian } from "../oracle/fields.ts";
import { normalCdf } from "../oracle/special.ts";
import { expect, expectClose, test } from "../suite.ts";

/** N(0, I) to N(mean, s² I). */
const mean = [1, -0.5];
const s = 0.5;
const field = gaussian(mean, s);
const flowOf = (gpu: pf.Gpu, normalization?: pf.Normalization) =>
  pf.Flow.create(gpu, {
    velocity: pf.wgslVelocity({ dim: 2, code: field.wgsl ?? "" }),
    ...(normalization && { normalization }),
  });

test("errors of solvers are those against the closed form, in data units, and of log p, too", async ({ gpu }) => {
  const scale = [2, 2];
  const flow = flowOf(gpu, { mean: [5, 5], scale });
  const count = 200;
  const solvers = [4, 8].map((steps) => ({ method: "euler", steps }) as const);
  const found = await compareSolvers(flow, { solvers, count, seed: 3 });
  const truth = await flow.sample(count, { seed: 3, solver: { method: "rk4", steps: 50 } });
  for (const [k, solver] of solvers.entries()) {
    const { x, x0 = new Float32Array(0) } = await flow.sample(count, { solver, seed: 3 });
    let [squares, most] = [0, 0];
    for (let i = 0; i < count; i++) {
      const end = field.flow(1, x0.subarray(2 * i, 2 * i + 2));
      const [p = 0, q = 0] = end.map((value, axis) => 5 + 2 * value - (x[2 * i + axis] ?? 0));
      squares += (p * p + q * q) / count;
      most = Math.max(most, Math.hypot(p, q));
    }
    const { logProb } = await flow.logProb(truth.x, { solver });
    const errors = Float64Array.from(logProb, (value, i) => {
      const own = truth.x.subarray(2 * i, 2 * i + 2).map((v) => (v - 5) / 2);
      return value - (field.logDensity(1, own) - 2 * Math.log(2));
    });
    const bias = errors.reduce((sum, error) => sum + error / count, 0);
    const wanted = [Math.sqrt(squares), most, Math.sqrt(errors.reduce((sum, e) => sum + (e * e) / count, 0)), bias];
    const { error, largestError, logProbError = 0, logProbBias = 0, nfe, failed } = found[k] ?? expect.fail("no row");
    expectClose(Float64Array.of(error, largestError, logProbError, logProbBias), Float64Array.from(wanted), {
      relative: 1e-3,
      absolute: 1e-5,
    });
    expect([nfe, failed]).toEqual([solver.steps, 0]);
  }
  // first order: half of the step has half of the error
  expect((found[0]?.error ?? 0) / (found[1]?.error ?? 1)).toBeGreaterThan(1.5);
  flow.dispose();
});

test("particles whose solves fail are counted and left out", async ({ gpu }) => {
  const code = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(select(0.0, 1e38, x[0] > 1.0) * x[0]); }
fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`;
  for (const space of [{}, { transform: [{ kind: "positive" } as const] }]) {
    const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 1, code }), ...space });
    const solvers = [{ method: "euler", steps: 3 }] as const;
    const [found] = await compareSolvers(flow, { solvers, count: 100, reference: { method: "rk4", steps: 3 } });
    expect([found?.error, found?.logProbError]).toEqual([0, 0]);
    expect(found?.failed ?? 0).toBeGreaterThan(5);
    flow.dispose();
  }
});

test("transforms are those of the closed form: of coordinates and radius, and of a uniform source", async ({ gpu }) => {
  const flow = flowOf(gpu);
  const x = (await flow.sample(300, { seed: 1, solver: { method: "rk4", steps: 20 } })).x;
  const {
    coordinates,
    radius = new Float64Array(0),
    failed,
  } = await pit(flow, x, { solver: { method: "rk4", steps: 20 } });
  const z = Float64Array.from(x, (value, k) => (value - (mean[k % 2] ?? 0)) / s);
  expectClose(coordinates, z.map(normalCdf), { relative: 1e-4, absolute: 1e-6 });
  expectClose(
    radius,
    Float64Array.from(radius, (_, i) => -Math.expm1(-((z[2 * i] ?? 0) ** 2 + (z[2 * i + 1] ?? 0) ** 2) / 2)),
    { relative: 1e-4, absolute: 1e-6 },
  );
  expect(failed).toBe(0);
  expect(uniformity(radius).ks.pValue).toBeGreaterThan(0.01);
  const [half] = coverage(radius, [0.5]);
  expect(Math.abs((half?.share ?? 0) - 0.5)).toBeLessThan(3 * (half?.standardError ?? 0));
  flow.dispose();
  const still = pf.Flow.create(gpu, {
    velocity: pf.wgslVelocity({
      dim: 2,
      code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(); }",
    }),
    source: { distribution: "uniform", low: [0, -2], high: [1, 2] },
  });
  const own = await pit(still, Float32Array.of(0.25, 1, 0.5, -2), { solver: { method: "euler", steps: 1 } });
  expectClose(own.coordinates, Float64Array.of(0.25, 0.75, 0.5, 0), { relative: 1e-6, absolute: 1e-6 });
  expect(own.radius).toBe(undefined);
  still.dispose();
});

test("a mixture's transforms are uniform, coordinate by coordinate given those before, and its own alone", async ({
  gpu,
}) => {
  const [means, scales, weights] = [
    [
      [-2, 1],
      [1.5, -1],
    ],
    [
      [0.5, 1],
      [0.8, 0.3],
    ],
    [1, 3],
  ];
  const velocity = pf.wgslVelocity({
    dim: 2,
    code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(); }",
  });
  const source = { distribution: "mixture", means, scales, weights } as const;
  const flow = pf.Flow.create(gpu, { velocity, source });
  const solver = { method: "euler", steps: 1 } as const;
  const { x } = await flow.sample(400, { seed: 3, solver });
  const { coordinates, radius } = await pit(flow, x, { solver });
  expect(radius).toBe(undefined);
  const column = (k: number) => coordinates.filter((_, i) => i % 2 === k);
  for (const k of [0, 1]) expect(uniformity(column(k)).ks.pValue).toBeGreaterThan(0.01);
  // by sums of the density along the axis
  const density = (a: number, b: number) =>
    [0, 1].reduce((sum, part) => {
      const [m, s] = [means[part] ?? [], scales[part] ?? []];
      const z = [(a - (m[0] ?? 0)) / (s[0] ?? 1), (b - (m[1] ?? 0)) / (s[1] ?? 1)];
      const peak = (weights[part] ?? 0) / (s[0] ?? 1) / (s[1] ?? 1);
      return sum + peak * Math.exp(-((z[0] ?? 0) ** 2 + (z[1] ?? 0) ** 2) / 2);
    }, 0);
  const below = (f: (at: number) => number, end: number) => {
    const h = (end + 12) / 4000;
    let sum = 0;
    for (let j = 0; j < 4000; j++) sum += h * f(-12 + (j + 0.5) * h);
    return sum;
  };
  for (const i of [0, 1, 2, 3, 4, 5]) {
    const [a, b] = [x[2 * i] ?? 0, x[2 * i + 1] ?? 0];
    const wanted = below((at) => density(a, at), b) / below((at) => density(a, at), 12);
    expect(Math.abs((coordinates[2 * i + 1] ?? 0) - wanted)).toBeLessThan(1e-4);
  }
  flow.dispose();
});

test("transforms and posteriors refuse options that would change what their result is", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8], context: 2 });
  const flow = pf.Flow.create(gpu, { velocity });
  const rows = Float32Array.of(1, 2);
  const loose = (options: object) => options;
  for (const options of [{ output: "gpu" }, { saveAt: [0.5] }, { to: 0.5 }, { context: rows }])
    await expect(samplePosteriors(flow, rows, 3, loose(options))).rejects.toThrow(
      new RegExp(`samplePosteriors has no option "${Object.keys(options)[0]}"`),
    );
  for (const options of [{ output: "gpu" }, { at: 0.5 }])
    await expect(pit(flow, rows, { context: rows, ...loose(options) })).rejects.toThrow(
      /pit has no option "(output|at)"/,
    );
  await expect(straightness(flow, 0, { context: rows })).rejects.toThrow(/straightness: count is 0/);
  flow.dispose();
});

test("posteriors are samples with the observation as context, draw by draw", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 3, hidden: [8], context: 2 });
  const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
  const options = { solver: { method: "midpoint", steps: 3 }, seed: 5, logProb: true } as const;
  const observations = Float32Array.of(1, 2, -3, 4, 0.5, 0);
  const drawn = await samplePosteriors(flow, observations, 7, options);
  const context = Float32Array.from(
    { length: 3 * 7 * 2 },
    (_, k) => observations[2 * Math.floor(k / 14) + (k % 2)] ?? 0,
  );
  const wanted = await flow.sample(21, { ...options, context });
  expect(drawn.x).toEqual(wanted.x);
  expect(drawn.logProb).toEqual(wanted.logProb);
  await expect(samplePosteriors(flow, Float32Array.of(1, 2, 3), 7)).rejects.toThrow(
    /observations has 3 values, but rows of 2/,
  );
  flow.dispose();
  const other = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden: [8] }) });
  await expect(samplePosteriors(other, observations, 7)).rejects.toThrow(/no flow with context/);
  other.dispose();
});

test("a posterior is learned from simulations alone: near the known one, and calibrated better than the prior", async ({
  gpu,
}) => {
  const task = gaussianLinear(1);
  const budget = {
    simulations: 2000,
    steps: 100,
    hidden: [16, 16],
    seed: 1,
    tests: 100,
    draws: 20,
    observations: 1,
    compared: 300,
  };
  const posterior = await learnPosterior(gpu, task, budget);
  const { ranks, tarp, coverage, c2st, known, drawn } = await judgePosterior(posterior, task, budget);
  posterior.flow.dispose();
  expect(c2st[0]?.accuracy ?? 1).toBeLessThan(0.62);
  expect([known.length, drawn.length]).toEqual([300, 300]);
  // Kolmogorov–Smirnov at the 0.1 % level
  for (const { ks } of [...ranks, tarp, coverage]) expect(ks.statistic).toBeLessThan(1.95 / Math.sqrt(100));
});
