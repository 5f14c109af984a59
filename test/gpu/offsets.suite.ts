import * as pf from "pushforward";
import { openWorkers } from "pushforward/workers";
import { expect, expectClose, test } from "../suite.ts";

const dim = 2;
const offset = [5_400_000, -1_700_000_000];
const spread = [0.1, 3];
const rows = 150;
// multiples of 2^-12, so that f64 holds them beside the offsets without loss
const centred = Float64Array.from(
  pf.toyData("moons", rows),
  (value, i) => Math.round(value * (spread[i % dim] ?? 1) * 4096) / 4096,
);
const far = centred.map((value, i) => value + (offset[i % dim] ?? 0));
const shifted = (values: ArrayLike<number>) => Float64Array.from(values, (value, i) => value - (offset[i % dim] ?? 0));
const velocity = pf.mlp({ dim, hidden: [16] });
const solver: pf.Solver = { method: "midpoint", steps: 7 };
const near = pf.fitNormalization(centred, dim);
const away = pf.fitNormalization(far, dim);
const flows = (gpu: pf.Gpu) =>
  [near, away].map((normalization) => pf.Flow.create(gpu, { velocity, seed: 1, normalization })) as [pf.Flow, pf.Flow];

test("log p, its mean and the flux of f64 rows do not feel an offset of millions", async ({ gpu }) => {
  const [flow, other] = flows(gpu);
  const wanted = await flow.logProb(centred, { solver });
  const { logProb, x0 } = await other.logProb(far, { solver });
  // f64 holds the sum of data and offset to 2e-7, which is 3e-6 of the smaller spread
  expectClose(logProb, wanted.logProb, { absolute: 1e-4 });
  expectClose(x0, wanted.x0, { absolute: 1e-4 });
  const streamed: number[] = [];
  for await (const part of other.logProbStream([far.subarray(0, 100), { x: far.subarray(100) }], { solver }))
    streamed.push(...part.logProb);
  expect(streamed).toEqual([...logProb]);
  const means = [await flow.meanLogProb(centred, { solver }), await other.meanLogProb(far, { solver })];
  expectClose([means[1]?.mean ?? 0], [means[0]?.mean ?? 1], { absolute: 1e-4 });
  const flux = await other.flux(far.subarray(0, 20), 0.5, { solver });
  expectClose(flux.flux, (await flow.flux(centred.subarray(0, 20), 0.5, { solver })).flux, { absolute: 1e-4 });
  // f32 rows that are their own f64 values are taken to be exact, on the host and on the device
  const whole = Float32Array.from(far, (value, i) => (i % dim === 0 ? 5_400_000 + (i % 7) / 2 : value));
  const exact = await other.logProb(Float64Array.from(whole), { solver });
  expectClose((await other.logProb(whole, { solver })).logProb, exact.logProb, { relative: 1e-4, absolute: 1e-4 });
  for (const one of [flow, other]) one.dispose();
});

test("samples in f64 have the digits that an offset would take from f32", async ({ gpu }) => {
  const [flow, other] = flows(gpu);
  const options = { solver, seed: 3, logProb: true, saveAt: [0, 1] };
  const wanted = await flow.sample(101, options);
  const { x, saved, logProb } = await other.sample(101, { ...options, output: "float64" });
  expect(x instanceof Float64Array && saved instanceof Float64Array).toBe(true);
  expectClose(shifted(x), wanted.x, { relative: 1e-5, absolute: 1e-5 });
  expectClose(shifted(saved ?? []), wanted.saved ?? [], { relative: 1e-5, absolute: 1e-5 });
  expectClose(logProb ?? [], wanted.logProb ?? [], { absolute: 1e-4 });
  const parts: number[] = [];
  for await (const part of other.sampleStream(101, { solver, seed: 3, output: "float64", chunkSize: 64 }))
    parts.push(...part.x);
  expect(parts).toEqual([...x]);
  const workers = await openWorkers({ workers: [gpu] });
  const far64 = await workers.sample(other, 101, { solver, seed: 3, output: "float64" });
  expect([...far64.x]).toEqual([...x]);
  const scored = await workers.logProb(other, far, { solver });
  expect([...scored.logProb]).toEqual([...(await other.logProb(far, { solver })).logProb]);
  await workers.close();
  const wrong = await other.sample(3, { output: "float32" as "cpu" }).catch((error: Error) => error.message);
  expect(String(wrong)).toContain('"cpu", "gpu", "float64"');
  for (const one of [flow, other]) one.dispose();
});

test("moments, histogram and density grid do not feel an offset of millions", async ({ gpu }) => {
  const [flow, other] = flows(gpu);
  const options = { solver, seed: 3 };
  const wanted = await flow.moments(1500, options);
  const got = await other.moments(1500, options);
  expectClose(shifted(got.mean), wanted.mean, { absolute: 1e-5 });
  expectClose(got.covariance, wanted.covariance, { relative: 1e-4 });
  const ranges = (shift: readonly number[]) =>
    [0, 1].map((i) => [-3, 3].map((k) => (shift[i] ?? 0) + k * (spread[i] ?? 1))) as [
      [number, number],
      [number, number],
    ];
  const bins: [number, number] = [7, 5];
  const near2 = await flow.histogram(1500, { ...options, bins, range: ranges([0, 0]) });
  const far2 = await other.histogram(1500, { ...options, bins, range: ranges(offset) });
  // one particle or two may lie on an edge
  const moved = near2.counts.reduce((sum, count, i) => sum + Math.abs(count - (far2.counts[i] ?? 0)), 0);
  expect(moved <= 4 && near2.counts.some((count) => count > 100)).toBe(true);
  const cells = [9, 8];
  const density = await flow.densityGrid({ solver, box: ranges([0, 0]), cells });
  const moved2 = await other.densityGrid({ solver, box: ranges(offset), cells });
  expectClose(moved2.logProb, density.logProb, { absolute: 1e-4 });
  expectClose([moved2.mass], [density.mass], { relative: 1e-4 });
  const bare = pf.Flow.create(gpu, { velocity, seed: 1 });
  const refused = await bare.densityGrid({ solver, box: ranges(offset), cells }).catch((error: Error) => error.message);
  expect(String(refused)).toContain("f32 numbers are 0.500 apart there, so at most 1 cells can be told apart");
  const refusedBins = await bare
    .histogram(10, { solver, bins, range: ranges(offset) })
    .catch((error: Error) => error.message);
  expect(String(refusedBins)).toContain("bins can be told apart: give the flow a normalization");
  for (const one of [flow, other, bare]) one.dispose();
});

test("moments do not feel the units, however large or small", async ({ gpu }) => {
  const plain = pf.Flow.create(gpu, { velocity, seed: 1 });
  const options = { solver, seed: 3, logProb: true };
  const wanted = await plain.moments(300, options);
  const [mean, scale] = [
    [1e31, -1e-25],
    [1e30, 1e-25],
  ] as const;
  const flow = pf.Flow.create(gpu, { velocity, seed: 1, normalization: { mean: [...mean], scale: [...scale] } });
  const got = await flow.moments(300, options);
  const own = got.mean.map((value, i) => (value - (mean[i] ?? 0)) / (scale[i] ?? 1));
  expectClose(own, wanted.mean, { absolute: 1e-12 });
  const unscaled = got.covariance.map((value, k) => value / (scale[k >> 1] ?? 1) / (scale[k % dim] ?? 1));
  expectClose(unscaled, wanted.covariance, { relative: 1e-12 });
  expect([got.count, got.nonFinite]).toEqual([300, 0]);
  const shift = scale.reduce((sum, s) => sum + Math.log(s), 0);
  expectClose([(got.logProb?.mean ?? 0) + shift], [wanted.logProb?.mean ?? 1], { absolute: 1e-4 });
  for (const one of [plain, flow]) one.dispose();
});

test("rows of f32 beside an offset of millions are warned of once, with the way", async ({ gpu }) => {
  const warn = console.warn;
  const told: string[] = [];
  console.warn = (text: string) => told.push(text);
  try {
    const [flow, other] = flows(gpu);
    await flow.sample(3, { solver });
    await flow.logProb(Float32Array.from(centred), { solver });
    await other.sample(3, { solver, output: "float64" });
    await other.logProb(far, { solver });
    await other.moments(3, { solver });
    expect(told).toEqual([]);
    await other.sample(3, { solver });
    await other.logProb(Float32Array.from(far), { solver });
    expect(told.length).toBe(1);
    expect(told[0]).toMatch(
      /sample: column 0 .*around 5400\d+, where f32 numbers are 0\.5 apart: pass rows as a Float64Array.*"float64"/,
    );
    for (const one of [flow, other]) one.dispose();
    const [, again] = flows(gpu);
    await again.meanLogProb(Float32Array.from(far), { solver });
    expect(told[1]).toContain("meanLogProb: column 0");
    again.dispose();
  } finally {
    console.warn = warn;
  }
});

test("rows of f64 for the flow's own space are refused without a way that would lose their digits", async ({ gpu }) => {
  const [flow, other] = flows(gpu);
  const rows = far as unknown as Float32Array;
  const words = /in the flow's own space: pass \(x − mean\)\/scale of the flow's normalization, and wrap it/;
  await expect(other.push(rows, { solver })).rejects.toThrow(words);
  const batch = { x0: new Float32Array(far.length), x1: rows, t: new Float32Array(far.length / dim) };
  await expect(pf.flowMatchingGradients(other, batch)).rejects.toThrow(words);
  for (const one of [flow, other]) one.dispose();
});

async function losses(training: AsyncIterable<pf.TrainingStep>): Promise<number[]> {
  const all: number[] = [];
  for await (const { loss, validationLoss = 0 } of training) all.push(loss, validationLoss);
  return all;
}

for (const coupling of ["independent", "optimal-transport"] as const) {
  test(`flow matching of f64 data learns the same beside an offset of millions: ${coupling}`, async ({ gpu }) => {
    const [flow, other] = flows(gpu);
    const o = { steps: 5, batchSize: 65, logEvery: 2, coupling };
    const wanted = await losses(
      pf.trainFlowMatching(flow, centred, { ...o, validation: { data: centred.subarray(0, 60) } }),
    );
    const got = await losses(pf.trainFlowMatching(other, far, { ...o, validation: { data: far.subarray(0, 60) } }));
    expectClose(got, wanted, { relative: 1e-4 });
    for (const one of [flow, other]) one.dispose();
  });
}

test("maximum likelihood of f64 data learns the same beside an offset of millions", async ({ gpu }) => {
  const [flow, other] = flows(gpu);
  const o = { steps: 2, batchSize: 65, logEvery: 1, solver: { method: "midpoint", steps: 2 } as const };
  const wanted = await losses(
    pf.trainMaximumLikelihood(flow, centred, { ...o, validation: { data: centred.subarray(0, 60) } }),
  );
  const got = await losses(pf.trainMaximumLikelihood(other, far, { ...o, validation: { data: far.subarray(0, 60) } }));
  expectClose(got, wanted, { absolute: 1e-4 });
  const options = { solver: o.solver };
  const own = await pf.likelihoodGradients(flow, centred, options);
  expectClose([(await pf.likelihoodGradients(other, far, options)).loss], [own.loss], { absolute: 1e-4 });
  for (const one of [flow, other]) one.dispose();
});

test("training on columns that f32 cannot tell apart is refused with the column and the way", async ({ gpu }) => {
  const bare = pf.Flow.create(gpu, { velocity, seed: 1 });
  const [flow, other] = flows(gpu);
  /** What is told at the first step. */
  const train = (one: pf.Flow, data: Float32Array | Float64Array) =>
    pf
      .trainFlowMatching(one, data, { steps: 1 })
      .next()
      .then(
        () => "nothing",
        (error: Error) => error.message,
      );
  for (const [one, data] of [
    [bare, far],
    [bare, Float32Array.from(far)],
    [other, Float32Array.from(far)],
  ] as const)
    expect(await train(one, data)).toMatch(
      /column 0 .*around 5400000, where f32 numbers are 0.5 apart, .*pass the data as a Float64Array.*fitNormalization/,
    );
  const ids = Float64Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? 9007199254740000 + i / 2 : i));
  const fitted = pf.Flow.create(gpu, { velocity, normalization: pf.fitNormalization(ids, dim) });
  expect(await train(fitted, ids)).toMatch(/column 0 .*where f64 numbers are 1 apart/);
  const outlier = centred.map((value, i) => (i === 1 ? 1e15 : value));
  const wide = pf.Flow.create(gpu, { velocity, normalization: pf.fitNormalization(outlier, dim) });
  expect(await train(wide, outlier)).toMatch(/column 1 .*different values, of which .* are left/);
  for (const one of [bare, flow, other, fitted, wide]) one.dispose();
});
