import * as pf from "pushforward";
import { activationNames } from "../oracle/activations.ts";
import { expect, test } from "../suite.ts";

const solver = { method: "euler", steps: 2 } as const;
const where = 0x80 | 0x08 | 0x04; // STORAGE, COPY_DST, COPY_SRC: names that Node has no globals for

/** Rows on the device, which nobody can look through before they are used. */
function onDevice(gpu: pf.Gpu, rows: Float32Array<ArrayBuffer>): GPUBuffer {
  const buffer = gpu.device.createBuffer({ size: rows.byteLength, usage: where });
  gpu.device.queue.writeBuffer(buffer, 0, rows);
  return buffer;
}

const finite = (values: Float32Array | Float64Array | undefined) => Array.from(values ?? [], Number.isFinite);

for (const activation of activationNames) {
  test(`NaN in the context or in x comes out as NaN and is counted: ${activation}`, async ({ gpu }) => {
    using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4, 3], context: 1, activation }) });
    const context = onDevice(gpu, Float32Array.of(0.5, Number.NaN, 1));
    const samples = await flow.sample(3, { context, solver, logProb: true });
    expect(finite(samples.x)).toEqual([true, true, false, false, true, true]);
    expect(samples.nonFinite).toBe(1);
    const x = Float32Array.of(0, 1, 0, 1, Number.NaN, 1);
    const scored = await flow.logProb(x, { context, solver });
    expect(finite(scored.logProb)).toEqual([true, false, false]);
    expect(scored.nonFinite).toBe(2);
    expect(finite(await flow.divergence(x, 0.5, { context }))).toEqual([true, false, false]);
    context.destroy();
  });
}

test("NaN in the context comes out as NaN from layered networks, adaptive solves and all evaluations", async ({
  gpu,
}) => {
  const context = onDevice(gpu, Float32Array.of(Number.NaN, 1));
  const x = Float32Array.of(0.5, 1, -1, 2);
  const rows = [false, false, true, true];
  for (const hidden of [[4, 3], [136]]) {
    using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden, context: 1, activation: "relu" }) });
    expect(finite(await flow.velocity(x, 0, { context }))).toEqual(rows);
    const { jvp } = await flow.jvp(x, 0, x, { context });
    const { vjp } = await flow.vjp(x, 0, x, { context });
    expect([finite(jvp), finite(vjp)]).toEqual([rows, rows]);
    const pushed = await flow.push(x, { context, solver, logProb: true });
    expect([finite(pushed.x), pushed.nonFinite]).toEqual([rows, 1]);
    const mean = await flow.meanLogProb(x, { context, solver });
    expect([mean.count, mean.nonFinite, Number.isFinite(mean.mean)]).toEqual([1, 1, true]);
    const { status, nonFinite, unfinished } = await flow.push(x, { context, solver: { method: "dopri5" } });
    expect(Array.from(status ?? [])).toEqual([pf.solveStatus.nonFinite, pf.solveStatus.done]);
    expect(nonFinite + (unfinished ?? Number.NaN)).toBe(1);
  }
  context.destroy();
});

test("numbers among the inputs on the host that are not finite are refused by row and column", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8, 8], context: 1 }) });
  const context = Float32Array.of(0, Number.NaN);
  const x = new Float32Array(4);
  const bad = Float32Array.of(0, 1, Number.NEGATIVE_INFINITY, 0);
  const calls: [string, () => Promise<unknown>][] = [
    ["sample: context holds NaN at row 1, column 0", () => flow.sample(2, { context })],
    ["velocity: context holds NaN at row 1, column 0", () => flow.velocity(x, 0, { context })],
    ["jvp: tangent holds -Infinity at row 1, column 0", () => flow.jvp(x, 0, bad, { context: new Float32Array(2) })],
    ["vjp: cotangent holds -Infinity", () => flow.vjp(x, 0, bad, { context: new Float32Array(2) })],
    [
      "logProb: divergence.vectors holds -Infinity",
      () =>
        flow.logProb(x, { context: new Float32Array(2), divergence: { probe: "gaussian", probes: 1, vectors: bad } }),
    ],
  ];
  for (const [words, call] of calls) {
    const error = await call().then(
      () => undefined,
      (e: Error) => e,
    );
    expect(error).toBeInstanceOf(pf.PushforwardError);
    expect(error?.message).toContain(words);
  }
});

test("solves that did not end are counted and left out of means, histograms and densities", async ({ gpu }) => {
  // at a large x the field is too stiff for so few steps
  const code =
    "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(select(0.0, -3000.0 * (x[0] - 1.0), x[0] > 1.0)); }";
  using flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 1, code }) });
  const stiff = { method: "dopri5", maxSteps: 12 } as const;
  const n = 300;
  const { x, status, unfinished, nonFinite } = await flow.sample(n, { solver: stiff, seed: 3 });
  const late = Array.from(status ?? []).filter((s) => s !== pf.solveStatus.done).length;
  expect(late).toBeGreaterThan(10);
  expect(late).toBeLessThan(n / 2);
  expect([unfinished, nonFinite]).toEqual([late, 0]);
  const kept = Array.from(x).filter((_, i) => status?.[i] === pf.solveStatus.done);
  const moments = await flow.moments(n, { solver: stiff, seed: 3 });
  expect([moments.count, moments.unfinished, moments.nonFinite]).toEqual([n - late, late, 0]);
  expect(moments.mean[0]).toBeCloseTo(kept.reduce((sum, value) => sum + value, 0) / kept.length, 5);
  const all: [number, number] = [-100, 100];
  const histogram = await flow.histogram(n, { bins: [1, 1], range: [all, all], solver: stiff, seed: 3 });
  expect([histogram.counts[0], histogram.outside, histogram.unfinished]).toEqual([n - late, late, late]);
  const points = Float32Array.of(-1, 2, 3, 0);
  const mean = await flow.meanLogProb(points, { solver: stiff });
  expect([mean.count, mean.unfinished, mean.nonFinite]).toEqual([2, 2, 0]);
  // N(0, 1) where the field is 0
  expect(mean.mean).toBeCloseTo(-0.25 - 0.5 * Math.log(2 * Math.PI), 5);
  const grid = await flow.densityGrid({ box: [[-1, 3]], cells: [2], solver: stiff });
  expect([finite(grid.density), grid.unfinished, grid.nonFinite]).toEqual([[true, false], 1, 0]);
  expect(grid.mass).toBeCloseTo(2 / Math.sqrt(2 * Math.PI), 5);
  const flux = await flow.flux(Float32Array.of(2, 0), 1, { solver: stiff });
  expect([finite(flux.density), finite(flux.flux)]).toEqual([
    [false, true],
    [false, true],
  ]);
  expect([flux.unfinished, flux.nonFinite]).toEqual([1, 0]);
});

test("continuity counts the solves that did not end, and leaves out what they would give", async ({ gpu }) => {
  // at rest but for a part of the box that is too stiff for so few steps
  const code =
    "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(select(0.0, -3000.0 * (x[0] - 1.0), x[0] > 1.0)); }";
  using flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 1, code }) });
  const stiff = { method: "dopri5", maxSteps: 12 } as const;
  const box: [number, number][] = [[-1, 3]];
  const report = await flow.continuity({ t: 0.9, box, cells: [4], solver: stiff });
  // centres −0.5, 0.5, 1.5, 2.5 at three times, faces −1, 0, 1, 2, 3
  expect(report.unfinished).toBe(2 * 3 + 2);
  expect(finite(report.residual)).toEqual([true, true, false, false]);
  expect([report.max, report.rms, report.scale, report.massRate, report.outflow]).toEqual([0, 0, 0, 0, 0]);
  expect(report.mass).toBeCloseTo((2 * Math.exp(-0.125)) / Math.sqrt(2 * Math.PI), 5);
  const nowhere = await flow.continuity({ t: 0.9, box: [[2, 3]], cells: [2], solver: stiff });
  expect([nowhere.max, nowhere.rms, nowhere.scale]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});

test("a log p of −∞ is counted by every call", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [8] }) });
  const x = Float32Array.of(1e25, 0);
  const { logProb, nonFinite } = await flow.logProb(x, { solver });
  expect([logProb[0], nonFinite]).toEqual([Number.NEGATIVE_INFINITY, 1]);
  const mean = await flow.meanLogProb(x, { solver });
  expect([mean.nonFinite, mean.count, Number.isFinite(mean.mean)]).toEqual([1, 1, true]);
  const none = await flow.meanLogProb(new Float32Array(0), { solver });
  expect(none).toEqual({ mean: Number.NaN, standardError: Number.NaN, count: 0, nonFinite: 0, unfinished: 0 });
});

test("a state too far away for f32 in any coordinate has log p −∞, and beside NaN NaN", async ({ gpu }) => {
  const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(); }";
  using flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 3, code }) });
  const none = Number.NEGATIVE_INFINITY;
  const rows = [[1e25, 0, 0], [0, -1e25, 1], [0, 0, 1e25], [1e25, -1e30, 1e25]]; // biome-ignore format: rows
  const { logProb } = await flow.logProb(Float32Array.from(rows.flat()), { solver });
  expect([...logProb]).toEqual([none, none, none, none]);
  const unknown = onDevice(gpu, Float32Array.of(1e25, Number.NaN, 0, Number.NaN, 1e25, 0));
  const nan = await flow.logProb(unknown, { solver });
  expect([finite(nan.logProb), [...nan.logProb].includes(none)]).toEqual([[false, false], false]);
  unknown.destroy();
});

test("a field of 10³⁰ is solved by adaptive steps as by fixed ones", async ({ gpu }) => {
  const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(1e30); }";
  using flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 1, code }) });
  const { x, status } = await flow.push(Float32Array.of(0), { solver: { method: "dopri5" } });
  expect([x[0], status?.[0]]).toEqual([Math.fround(1e30), pf.solveStatus.done]);
});

test("samples that overflow in data units are counted, and a normalization beyond f32 is refused", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [4] });
  using flow = pf.Flow.create(gpu, { velocity, normalization: { mean: [3e38, 0], scale: [2e38, 1] } });
  const { x, nonFinite } = await flow.sample(100, { solver });
  const rows = Array.from({ length: 100 }, (_, p) => Number.isFinite(x[2 * p] ?? Number.NaN));
  const bad = rows.filter((isGood) => !isGood).length;
  expect(bad).toBeGreaterThan(10);
  expect(nonFinite).toBe(bad);
  // moments are f64, which holds them
  const moments = await flow.moments(100, { solver });
  expect([moments.nonFinite, moments.count]).toEqual([0, 100]);
  expect([finite(moments.mean), finite(moments.covariance)]).toEqual([
    [true, true],
    [true, true, true, true],
  ]);
  for (const [normalization, words] of [
    [{ mean: [1e39, 0], scale: [1, 1] }, "normalization.mean[0] is 1e+39"],
    [{ mean: [0, 0], scale: [1, 1e-50] }, "normalization.scale[1] is 1e-50"],
  ] as const) {
    const make = () => pf.Flow.create(gpu, { velocity, normalization: normalization as unknown as pf.Normalization });
    expect(make).toThrow(words);
  }
});
