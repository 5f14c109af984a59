import * as pf from "pushforward";
import { constrain, unconstrain } from "pushforward/transforms";
import { linear } from "../oracle/fields.ts";
import { logLikelihoodRows, push, standardLogDensity, timesOf } from "../oracle/ode.ts";
import { toData, toFree } from "../oracle/transforms.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, rowOf, uniformArray } from "./inputs.ts";
import { savedAndSpread } from "./saved-and-spread.ts";

const dim = 6;
const n = 67;
const solver = { method: "midpoint", steps: 4 } as const;
const tolerance = { relative: 1e-5, absolute: 1e-5 };
const transform = [
  { kind: "interval", low: -1, high: 3 },
  { kind: "simplex", size: 3 },
  null,
  { kind: "positive" },
] as const;
const normalization = { mean: [0.3, -0.2, 0.1, 0.4, 2, -0.5], scale: [1.5, 0.8, 1.2, 0.6, 3, 0.7] };
const field = linear(dim, 0.4);
const velocity = pf.wgslVelocity({ dim, code: field.wgsl ?? "" });

/** Rows of the flow's own space, and the same rows as data by the oracle. */
const own = uniformArray(n * dim, -2, 2, 1);
const toOracle = (row: ArrayLike<number>) =>
  toData(
    Array.from(row, (value, i) => (normalization.mean[i] ?? 0) + (normalization.scale[i] ?? 1) * value),
    transform,
  );
const data = Float32Array.from(forRows(n, (i) => toOracle(rowOf(own, dim, i))));
const logScale = -normalization.scale.reduce((sum, s) => sum + Math.log(s), 0);

/** log p of rows of data, as f64 computes it: the flow's own, with both changes of variables. */
function logProbOf(rows: ArrayLike<number>): number[] {
  const free = Array.from({ length: rows.length / dim }, (_, i) =>
    toFree(
      Array.from({ length: dim }, (_, k) => rows[i * dim + k] ?? Number.NaN),
      transform,
    ),
  );
  const y = free.flatMap(({ y }) =>
    y.map((v, i) => (v - (normalization.mean[i] ?? 0)) / (normalization.scale[i] ?? 1)),
  );
  const { logProb } = logLikelihoodRows(field, Float64Array.from(y), "midpoint", timesOf(1, 0, 4));
  return Array.from(logProb, (value, i) => value + logScale + (free[i]?.logDet ?? Number.NaN));
}

test("log p of rows in intervals, above zero and on simplices is that of the data: from arrays, in f64 and from buffers", async ({
  gpu,
}) => {
  using flow = pf.Flow.create(gpu, { velocity, normalization, transform });
  expectClose((await flow.logProb(data, { solver, chunkSize: 40 })).logProb, logProbOf(data), tolerance);
  const { logProb, x0 } = await flow.logProb(Float64Array.from(data), { solver });
  expectClose(logProb, logProbOf(data), tolerance);
  expect((await flow.logProb(data, { solver })).logProb).toEqual(logProb);
  expectClose((await flow.push(own, { from: 1, to: 0, solver })).x, x0, { relative: 1e-4, absolute: 1e-4 });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const buffer = gpu.device.createBuffer({ size: data.byteLength, usage, mappedAtCreation: true });
  const rows = data.slice();
  rows[2 * dim] = 3; // on the edge
  rows[4 * dim + 1] = -0.1;
  rows[5 * dim + 2] = 0.9;
  new Float32Array(buffer.getMappedRange()).set(rows);
  buffer.unmap();
  const scored = await flow.logProb(buffer, { solver });
  expect(scored.nonFinite).toBe(3);
  for (const row of [2, 4, 5]) expect(scored.logProb[row]).toBe(Number.NaN);
  const kept = [...Array(n).keys()].filter((row) => ![2, 4, 5].includes(row));
  expectClose(
    kept.map((row) => scored.logProb[row] ?? Number.NaN),
    kept.map((row) => logProbOf(data)[row] ?? Number.NaN),
    { relative: 2e-5, absolute: 2e-5 },
  );
  buffer.destroy();
});

test("samples are in the space, as rows, in f64, on the way and on the device, with their log p", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity, normalization, transform });
  const options = { solver, seed: 3, logProb: true, saveAt: [0.5, 1] };
  const samples = await flow.sample(n, options);
  const { x, x0 = new Float32Array(), logProb = x0, saved = x0, savedLogProb = x0 } = samples;
  const times = timesOf(0, 1, 4);
  const wanted = Array.from({ length: n }, (_, i) => {
    const start = rowOf(x0, dim, i);
    return push(field, start, "midpoint", times, standardLogDensity(start));
  });
  const at = (k: number) => forRows(n, (i) => toOracle(wanted[i]?.states[k] ?? []));
  const gain = (k: number) =>
    forRows(n, (i) => {
      const row = toOracle(wanted[i]?.states[k] ?? []);
      return (wanted[i]?.logProbs[k] ?? 0) + logScale + toFree(row, transform).logDet;
    });
  expectClose(x, at(4), tolerance);
  expectClose(logProb, gain(4), tolerance);
  expectClose(saved, [...at(2), ...at(4)], tolerance);
  expectClose(savedLogProb, [...gain(2), ...gain(4)], tolerance);
  const double = await flow.sample(n, { ...options, output: "float64" });
  expectClose(double.x, at(4), tolerance);
  expect(double.logProb).toEqual(logProb);
  expect((await flow.sample(n, { ...options, chunkSize: 17 })).x).toEqual(x);
  const resident = await flow.sample(n, { solver, seed: 3, output: "gpu" });
  const { logProb: scored } = await flow.logProb(resident.x, { solver, count: n });
  expectClose(scored, logProbOf(x), { relative: 1e-4, absolute: 1e-4 });
  for (const value of Object.values(resident)) if (value instanceof GPUBuffer) value.destroy();
  const far = { ...normalization, scale: [40, 40, 40, 40, 3, 8] };
  using wide = pf.Flow.create(gpu, { velocity, normalization: far, transform });
  const edge = await wide.sample(500, { solver });
  for (let i = 0; i < 500; i++) {
    const [a = 0, ...others] = rowOf(edge.x, dim, i);
    expect(a > -1 && a < 3 && others.slice(0, 3).every((part) => part > 0 && part < 1)).toBe(true);
  }
});

test("files, threads, moments, streams, densities and the flux know the space", async ({ gpu }) => {
  const spaces = [{ kind: "interval", low: 0, high: 2 } as const, { kind: "positive" } as const];
  const net = pf.mlp({ dim: 2, hidden: [5] });
  const affine = { mean: [0.1, -0.3], scale: [0.9, 0.5] };
  using flow = pf.Flow.create(gpu, { velocity: net, seed: 4, transform: spaces, normalization: affine });
  const options = { solver, seed: 7, logProb: true };
  const { x, logProb } = await savedAndSpread(gpu, flow, 300, options);
  const { mean, logProb: entropy } = await flow.moments(300, options);
  expectClose(
    mean,
    [0, 1].map((k) => x.reduce((sum, v, i) => sum + (i % 2 === k ? v : 0), 0) / 300),
    tolerance,
  );
  expectClose([entropy?.mean ?? 0], [(logProb ?? x).reduce((sum, v) => sum + v, 0) / 300], tolerance);
  const whole = await flow.logProb(x, { solver });
  for await (const part of flow.logProbStream([x.subarray(0, 200), x.subarray(200)], { solver }))
    expect(part.logProb).toEqual(whole.logProb.subarray(part.start, part.start + part.logProb.length));
  // the box is wider than the space: outside of it the density is 0, and the mass is 1
  const grid = await flow.densityGrid({
    box: [
      [-0.5, 2.5],
      [-1, 5],
    ],
    cells: [60, 120],
    solver,
  });
  expectClose([grid.mass], [1], { relative: 3e-3 });
  expect(grid.density[0]).toBe(0);
  // d/ds T⁻¹(y + s v) by differences
  const rows = Float64Array.of(0.3, 0.8, 1.9, 2);
  const { velocity: u } = await flow.flux(rows, 0.6, { solver });
  const free = unconstrain(rows, spaces);
  const inFlow = Float32Array.from(free, (v, i) => (v - (affine.mean[i % 2] ?? 0)) / (affine.scale[i % 2] ?? 1));
  const v = await flow.velocity(inFlow, 0.6);
  const moved = (h: number) =>
    constrain(
      free.map((value, i) => value + h * (v[i] ?? 0) * (affine.scale[i % 2] ?? 1)),
      spaces,
    );
  const [high, low] = [moved(1e-5), moved(-1e-5)];
  expectClose(
    u,
    high.map((value, i) => (value - (low[i] ?? 0)) / 2e-5),
    { relative: 1e-5, absolute: 1e-6 },
  );
});

test("trainings take data of the space, and their loss in nats is that of the data", async ({ gpu }) => {
  const spaces = [{ kind: "simplex", size: 2 } as const];
  const simplex = [{ kind: "simplex", size: 2 }] as const;
  const rows = Float32Array.from(forRows(200, (i) => toData(uniformArray(2, -1, 1, i + 1), simplex)));
  const net = pf.mlp({ dim: 2, hidden: [8] });
  using flow = pf.Flow.create(gpu, { velocity: net, seed: 4, transform: spaces });
  const { loss, gradients } = await pf.likelihoodGradients(flow, rows, { solver, divergence: "exact" });
  const before = await flow.meanLogProb(rows, { solver });
  expectClose([loss], [-before.mean], { relative: 1e-5 });
  using plain = pf.Flow.create(gpu, { velocity: net, seed: 4 });
  const free = unconstrain(rows, spaces);
  const same = await pf.likelihoodGradients(plain, free, { solver, divergence: "exact" });
  expect(same.gradients).toEqual(gradients);
  const training = {
    steps: 8,
    batchSize: 64,
    learningRate: 0.02,
    logEvery: 4,
    solver: { method: "midpoint", steps: 2 } as const,
  };
  const validation = { data: rows };
  for await (const step of pf.trainMaximumLikelihood(flow, rows, { ...training, validation }))
    expect(Number.isFinite(step.validationLoss)).toBe(true);
  expect((await flow.meanLogProb(rows, { solver })).mean > before.mean).toBe(true);
  const { solver: _, ...matching } = training;
  for (const [of, given] of [
    [flow, rows],
    [plain, free],
  ] as const) {
    of.setWeights(await pf.Flow.create(gpu, { velocity: net, seed: 9 }).weights());
    for await (const _ of pf.trainFlowMatching(of, given, {
      ...matching,
      coupling: "optimal-transport",
      source: given.slice(0, 100),
    }))
      void _;
  }
  expect(await flow.weights()).toEqual(await plain.weights());
});

test("rows outside of the space, and transforms that are none, are told in words", async ({ gpu }) => {
  const message = (work: () => Promise<unknown>) =>
    work().then(
      () => "nothing was thrown",
      (error: Error) => error.message,
    );
  const make = (transform: unknown) => async () => pf.Flow.create(gpu, { velocity, transform: transform as never });
  expect(await message(make([null]))).toMatch(/transform is of 1 axes, but the flow has dim 6/);
  expect(await message(make("logit"))).toMatch(/transform is "logit", but it is a list/);
  expect(await message(make([{ kind: "circle" }]))).toMatch(/transform\[0\]\.kind is "circle"/);
  expect(await message(make([{ kind: "interval", low: 2, high: 1 }]))).toMatch(/low is 2, but it is less than high, 1/);
  expect(await message(make([{ kind: "interval", low: 2 }]))).toMatch(/transform\[0\]\.high/);
  expect(await message(make([{ kind: "positive", low: 2 }]))).toMatch(/low/);
  using flow = pf.Flow.create(gpu, { velocity, transform });
  const at = (place: number, value: number) => {
    const rows = data.slice();
    rows[place] = value;
    return rows;
  };
  const score = (place: number, value: number) => message(() => flow.logProb(at(place, value), { solver }));
  expect(await score(dim, 3)).toMatch(/logProb: x holds 3 at row 1, column 0, but transform has it between -1 and 3/);
  expect(await score(2 * dim + 5, 0)).toMatch(/x holds 0 at row 2, column 5, but transform has it above 0/);
  expect(await score(2, 1)).toMatch(/at row 0, column 1, but transform has it as parts above 0 whose sum is below 1/);
  for (const place of [0, 2, 4]) expect((await flow.logProb(at(place, Number.NaN), { solver })).nonFinite).toBe(1);
  using net = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [4] }), transform });
  const train = async () => {
    for await (const _ of pf.trainFlowMatching(net, at(dim, -1), { steps: 1 })) void _;
  };
  expect(await message(train)).toMatch(/trainFlowMatching: data holds -1 at row 1, column 0/);
});
