import * as pf from "pushforward";
import { openWorkers } from "pushforward/workers";
import { samplesSpec, sourceSpec } from "../../src/flow/source.ts";
import { seedKey, streams } from "../../src/random/philox.ts";
import { drawStarts } from "../../src/train/starts.ts";
import { gaussianMixture } from "../oracle/densities.ts";
import { gradientError } from "../oracle/differences.ts";
import { likelihood } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { expectGoesOn } from "./goes-on.ts";
import { forRows, rowOf, strengthen, uniformArray } from "./inputs.ts";

/** Three components in `dim` dimensions. */
function mixtureIn(dim: number) {
  const rows = (low: number, high: number, seed: number) =>
    Array.from({ length: 3 }, (_, k) => Array.from(uniformArray(dim, low, high, seed + k)));
  return { distribution: "mixture" as const, means: rows(-3, 3, 1), scales: rows(0.3, 2, 5), weights: [1, 4, 2] };
}

const solver = { method: "euler", steps: 1 } as const;

for (const dim of [1, 3, 6])
  test(`particles start from components of a mixture, or from rows of samples, by their numbers: dim ${dim}`, async ({
    gpu,
  }) => {
    const [n, seed] = [333, 2 ** 33 + 5];
    const samples = uniformArray(31 * dim, -2, 2, 3);
    const velocity = pf.mlp({ dim, hidden: [4] });
    for (const source of [mixtureIn(dim), { samples }]) {
      const flow = pf.Flow.create(gpu, { velocity, source });
      const { x0 = new Float32Array() } = await flow.sample(n, { solver, seed });
      const wanted = drawStarts(sourceSpec(source, dim), dim, seedKey(seed), streams.source, 0, n);
      if ("samples" in source) expect(x0).toEqual(wanted);
      else expectClose(x0, wanted, { relative: 2e-6, absolute: 2e-6 });
      expect((await flow.sample(n, { solver, seed, chunkSize: 65 })).x0).toEqual(x0);
      flow.dispose();
    }
  });

test("log p of a mixture is that of the f64 oracle, far out in its tails too", async ({ gpu }) => {
  for (const dim of [1, 3, 40]) {
    const source = mixtureIn(dim);
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [4] }), source });
    const n = 77;
    const x = uniformArray(n * dim, -4, 4, 9).map((value, i) => (i < dim ? 1e3 * value : value));
    const { logDensity } = gaussianMixture(source.means, source.scales, source.weights);
    const { logProb } = await flow.logProb(x, { at: 0, solver });
    expectClose(
      logProb,
      forRows(n, (i) => logDensity(rowOf(x, dim, i))),
      { relative: 1e-5, absolute: 1e-5 },
    );
    const endless = await flow.logProb(new Float32Array(dim).fill(1e30), { at: 0, solver });
    expect(endless.logProb[0]).toBe(Number.NEGATIVE_INFINITY);
    flow.dispose();
  }
});

test("log p of samples from a mixture is what logProb finds for them", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 2, source: mixtureIn(2) });
  const options = { solver: { method: "rk4", steps: 20 } } as const;
  const { x, logProb = new Float32Array() } = await flow.sample(200, { ...options, logProb: true });
  expectClose((await flow.logProb(x, options)).logProb, logProb, { relative: 2e-4, absolute: 2e-4 });
  flow.dispose();
});

test("the likelihood's gradients of a flow from a mixture agree with the f64 oracle", async ({ gpu }) => {
  const [dim, n] = [2, 19];
  const velocity = pf.mlp({ dim, hidden: [9] });
  const source = mixtureIn(dim);
  const flow = pf.Flow.create(gpu, { velocity, seed: 3, source });
  const weights = await strengthen(flow);
  const x = uniformArray(n * dim, -1.5, 1.5, 1);
  const got = await pf.likelihoodGradients(flow, x, { solver: { method: "midpoint", steps: 2 } });
  const wanted = likelihood(network(velocity, weights), x, {
    method: "midpoint",
    times: timesOf(1, 0, 2),
    source: gaussianMixture(source.means, source.scales, source.weights),
  });
  expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
  expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
  flow.dispose();
});

test("a source of samples goes with the flow: into files, to workers, and from a buffer of the device", async ({
  gpu,
}) => {
  const samples = uniformArray(2 * 9, -2, 2, 3);
  const buffer = gpu.device.createBuffer({
    size: samples.byteLength,
    usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  gpu.device.queue.writeBuffer(buffer, 0, samples as Float32Array<ArrayBuffer>);
  const velocity = pf.mlp({ dim: 2, hidden: [4] });
  const mine = samples.slice();
  const flow = pf.Flow.create(gpu, { velocity, seed: 1, source: { samples: mine } });
  mine.fill(9);
  const resident = pf.Flow.create(gpu, { velocity, seed: 1, source: { samples: buffer } });
  const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }";
  const formula = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code }), source: { samples: buffer } });
  const wanted = await flow.sample(50, { solver });
  expect(await resident.sample(50, { solver })).toEqual(wanted);
  const loaded = pf.Flow.load(gpu, await resident.save());
  expect(await loaded.sample(50, { solver })).toEqual(wanted);
  const workers = await openWorkers({ workers: [gpu] });
  for (const each of [flow, formula])
    expect((await workers.sample(each, 50, { solver })).x).toEqual((await each.sample(50, { solver })).x);
  await workers.close();
  for (const each of [flow, resident, formula, loaded]) each.dispose();
  buffer.destroy();
});

test("a mixture with many parts goes with the flow into a file, where its numbers are f32, and has the same bits after", async ({
  gpu,
}) => {
  const parts = 300;
  const of = (seed: number, low: number, high: number) =>
    Array.from({ length: parts }, (_, k) => [...uniformArray(2, low, high, seed + k)].map((value) => value / 3));
  const source = { distribution: "mixture" as const, means: of(1, -6, 6), scales: of(400, 0.1, 1) };
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [6] }), seed: 1, source });
  const bytes = await flow.save();
  const loaded = pf.Flow.load(gpu, bytes);
  const wanted = await flow.sample(70, { solver, logProb: true });
  expect(await loaded.sample(70, { solver, logProb: true })).toEqual(wanted);
  expect(await loaded.logProb(wanted.x)).toEqual(await flow.logProb(wanted.x));
  expect(bytes.length).toBeLessThan(4 * (flow.parameterCount + 5 * parts) + 2000);
  flow.dispose();
  loaded.dispose();
});

test("what needs log p of samples says that they have none, and what does not, does its work", async ({ gpu }) => {
  const samples = uniformArray(2 * 9, -2, 2, 3);
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }), source: { samples } });
  const x = Float32Array.of(1, 2);
  for (const call of [
    () => flow.logProb(x),
    () => flow.sample(3, { logProb: true }),
    () => flow.push(x, { logProb: true }),
    () => flow.meanLogProb(x),
    () => flow.flux(x, 1),
    () =>
      flow.densityGrid({
        box: [
          [0, 1],
          [0, 1],
        ],
        cells: [2, 2],
      }),
    () => pf.likelihoodGradients(flow, x),
    async () => pf.trainMaximumLikelihood(flow, x, { steps: 1 }).next(),
  ])
    await expect(call()).rejects.toThrow(/samples, which have no density/);
  expect((await flow.push(x, { logProb: Float32Array.of(0) })).logProb).toHaveLength(1);
  expect((await flow.moments(100)).count).toBe(100);
  flow.dispose();
});

const noise = (o: Partial<pf.FlowMatchingOptions>) => ({ steps: 6, batchSize: 65, logEvery: 3, ...o });

/** The weights that a training ends with, and what it told. */
async function trained(gpu: pf.Gpu, o: Partial<pf.FlowMatchingOptions>, source?: pf.Source) {
  const data = pf.toyData("moons", 300).map((value) => 10 + 3 * value);
  const velocity = pf.mlp({ dim: 2, hidden: [8], classes: o.labels ? 2 : 0 });
  const normalization = { mean: [10, 9], scale: [3, 2] };
  const flow = pf.Flow.create(gpu, { velocity, seed: 1, normalization, ...(source && { source }) });
  const told: object[] = [];
  try {
    for await (const { samplesPerSecond, ...step } of pf.trainFlowMatching(flow, data, noise(o))) told.push(step);
    return { weights: await flow.weights(), told };
  } finally {
    flow.dispose();
  }
}

for (const [name, coupling] of [
  ["independent pairs", "independent"],
  ["exact pairs", { method: "exact", group: 64, threads: 0 }],
  ["pairs by Sinkhorn's algorithm", { method: "sinkhorn", group: 64, iterations: 10 }],
] as const)
  test(`a training draws from the rows of its option source as from samples of the flow, and resumes: ${name}`, async ({
    gpu,
  }) => {
    const rows = pf.toyData("8gaussians", 200, 1);
    const normalization = { mean: [10, 9], scale: [3, 2] };
    const labels = Uint32Array.from({ length: 300 }, (_, i) => i % 2);
    const saved: Uint8Array[] = [];
    const checkpoint = { every: 3, save: (bytes: Uint8Array) => void saved.push(bytes) };
    const options = { coupling, labels, source: rows };
    const whole = await trained(gpu, { ...options, checkpoint });
    const samples = pf.normalize(rows, normalization);
    expect(await trained(gpu, { coupling, labels }, { samples })).toEqual(whole);
    const [state = new Uint8Array()] = saved;
    expect((await trained(gpu, { ...options, resume: state })).weights).toEqual(whole.weights);
    const other = { ...options, source: rows.map((value) => value + 1), resume: state };
    await expect(trained(gpu, other)).rejects.toThrow(/source of the training is 400 values/);
  });

/** Rows of the source as a training draws them from an array, by the numbers of the samples. */
const drawnFrom =
  (rows: Float32Array): pf.SourceBatches =>
  async (count, { first, seed, validation }) => {
    const [low = 0, high = 0] = seedKey(seed);
    // as validation data have it
    const key = [low, validation ? (high ^ 0x80000000) >>> 0 : high] as const;
    return drawStarts(samplesSpec(rows, 2), 2, key, streams.batchSource, first, count);
  };

for (const [name, coupling] of [
  ["independent pairs", "independent"],
  ["exact pairs from a pool", { method: "exact", group: 64, threads: 0, reuse: 2, pool: 128 }],
  ["exact pairs in order", { method: "exact", group: 64, threads: 1, reuse: 1 }],
  ["pairs by Sinkhorn's algorithm", { method: "sinkhorn", group: 64, iterations: 10 }],
] as const)
  test(`a source that is made batch by batch trains to the bits of its rows, in parts and from a checkpoint, too: ${name}`, async ({
    gpu,
  }) => {
    const rows = pf.toyData("8gaussians", 200, 1);
    const source = drawnFrom(rows);
    const validation = { data: pf.toyData("moons", 70, 1).map((value) => 10 + 3 * value), every: 3 };
    const saved: Uint8Array[] = [];
    const checkpoint = { every: 3, save: (bytes: Uint8Array) => void saved.push(bytes) };
    const options = { coupling, validation, seed: 2 ** 33 + 5, batchSize: 70 };
    const wanted = await trained(gpu, { ...options, source: rows });
    const whole = await trained(gpu, { ...options, source, checkpoint });
    const costs = ({ told }: Awaited<ReturnType<typeof trained>>) =>
      told.map((step) => (step as pf.TrainingStep).transportCost?.independent);
    expect(costs(whole)).toEqual(costs(wanted));
    // the unit of that algorithm's regularization is the cost of all rows, or of the first ones
    if (name !== "pairs by Sinkhorn's algorithm") expect(whole).toEqual(wanted);
    const [resume = new Uint8Array()] = saved;
    expect((await trained(gpu, { ...options, source, resume })).weights).toEqual(whole.weights);
    const parts = await trained(gpu, { ...options, source, accumulate: 2 });
    expect(parts).toEqual(
      await trained(gpu, { ...options, source: coupling === "independent" ? rows : source, accumulate: 2 }),
    );
    const other = drawnFrom(rows.map((value) => value + 1));
    await expect(trained(gpu, { ...options, source: other, resume })).rejects.toThrow(
      /source of the training.first is 140 values/,
    );
  });

test("a source that is made batch by batch goes on after a lost device, and ends with what it throws", async ({
  gpu,
}) => {
  const source = drawnFrom(pf.toyData("8gaussians", 200, 1));
  const coupling = { method: "exact", group: 64, threads: 0 } as const;
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const options = { steps: 6, batchSize: 65, logEvery: 1, coupling, source };
  await expectGoesOn(gpu, { velocity, data: pf.toyData("moons", 100), options, every: 2, lostAt: 3 });
  const fails: pf.SourceBatches = (count, at) => {
    if (at.first > 0) throw new Error("the file has ended");
    return source(count, at);
  };
  for (const own of ["independent", coupling] as const)
    await expect(trained(gpu, { coupling: own, source: fails })).rejects.toThrow("the file has ended");
});

test("rows of the source of a training may be in a buffer of the device", async ({ gpu }) => {
  const rows = pf.toyData("8gaussians", 200, 1);
  const buffer = gpu.device.createBuffer({ size: rows.byteLength, usage: 0x04 | 0x08 });
  gpu.device.queue.writeBuffer(buffer, 0, rows as Float32Array<ArrayBuffer>);
  expect(await trained(gpu, { source: buffer })).toEqual(await trained(gpu, { source: rows }));
  gpu.device.queue.writeBuffer(buffer, 4, Float32Array.of(Number.NaN));
  await expect(trained(gpu, { source: buffer })).rejects.toThrow(/source holds NaN at row 0, column 1/);
  buffer.destroy();
  await expect(trained(gpu, { source: buffer })).rejects.toThrow(/was destroyed/);
});

const ones = (count: number) => new Float32Array(2 * count).fill(1);
for (const [name, given, message] of [
  ["too few rows", (count: number) => ones(count - 1), /source gave a Float32Array.* for 65 samples.*\[65, 2\]/],
  ["another type", (count: number) => Array.from(ones(count)), /source gave .* for 65 samples/],
  ["nothing", () => undefined, /source gave undefined for 65 samples/],
  ["NaN", (count: number) => ones(count).fill(Number.NaN, 7), /source holds NaN at row 3, column 1/],
  [
    "NaN later",
    (count: number, { first }: { first: number }) => (first > 0 ? ones(count).fill(Number.NaN) : ones(count)),
    /holds NaN/,
  ],
] as const)
  test(`a source of batches that gives ${name} is refused in words`, async ({ gpu }) => {
    await expect(trained(gpu, { source: given as unknown as pf.SourceBatches })).rejects.toThrow(message);
  });

test("a source of batches is refused where rows are needed, and where a checkpoint could not be gone on with", async ({
  gpu,
}) => {
  await expect(trained(gpu, { source: ones, coupling: "paired" })).rejects.toThrow(
    /source is a function, but.*"paired"/,
  );
  let calls = 0;
  const source = (count: number) => ones(count).fill(calls++);
  await trained(gpu, { source });
  const checkpoint = { every: 3, save: () => {} };
  await expect(trained(gpu, { source, checkpoint })).rejects.toThrow(/source gave other rows for the same samples/);
  const velocity = pf.mlp({ dim: 2, hidden: [4] });
  expect(() => pf.Flow.create(gpu, { velocity, source: { samples: ones as never } })).toThrow(
    /source.samples is a function, but a flow's samples are rows/,
  );
});

test("pairs between two sample sets, and between a mixture and data, are shorter than independent ones", async ({
  gpu,
}) => {
  for (const method of ["exact", "sinkhorn"] as const) {
    for (const source of [mixtureIn(2), { samples: pf.toyData("8gaussians", 200, 1) }]) {
      const coupling = method === "exact" ? ({ method, threads: 0 } as const) : ({ method, group: 256 } as const);
      const { told } = await trained(gpu, { coupling, steps: 1 }, source);
      const { transportCost } = told[0] as pf.TrainingStep;
      expect(transportCost?.coupled ?? 1).toBeLessThan(0.8 * (transportCost?.independent ?? 0));
    }
  }
});

test("a flow that is trained from one sample set to another carries the one to the other", async ({ gpu }) => {
  // two points to two points, crosswise: the nearest ones are paired
  const [source, data] = [Float32Array.of(-1, 1), Float32Array.of(2, -2)];
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [32] }), seed: 2 });
  const coupling = { method: "exact", group: 64, threads: 0 } as const;
  const options = { steps: 300, batchSize: 128, learningRate: 1e-2, source, coupling };
  for await (const _ of pf.trainFlowMatching(flow, data, options));
  const { x } = await flow.push(source, { solver: { method: "midpoint", steps: 20 } });
  // a group has not as many of the one as of the other, so a few of its pairs go crosswise
  expectClose(x, [-2, 2], { absolute: 0.4 });
  flow.dispose();
});
