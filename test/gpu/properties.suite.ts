import * as fc from "fast-check";
import * as pf from "pushforward";
import { eightGaussians } from "../oracle/fields.ts";
import { expect, expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";
import { ofNews } from "./losing.ts";

const solver = { method: "midpoint", steps: 4 } as const;
const velocities: [string, pf.MlpVelocity][] = [
  ["fused", pf.mlp({ dim: 2, hidden: [9] })],
  ["layered", pf.mlp({ dim: 2, hidden: [136] })],
];

for (const [name, velocity] of velocities) {
  test(`particle i is the same for every count, chunk size and neighbour: ${name}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    const whole = await flow.sample(1000, { solver, seed: 7, logProb: true });
    for (const count of [1, 63, 64, 65]) {
      const few = await flow.sample(count, { solver, seed: 7, logProb: true });
      expect(few.x).toEqual(whole.x.slice(0, 2 * count));
      expect(few.logProb).toEqual(whole.logProb?.slice(0, count));
      expect(few.x0).toEqual(whole.x0?.slice(0, 2 * count));
    }
    for (const chunkSize of [1000, 333, 64, 7]) {
      const count = chunkSize === 7 ? 50 : 1000;
      const chunked = await flow.sample(count, { solver, seed: 7, logProb: true, chunkSize });
      expect(chunked.x).toEqual(whole.x.slice(0, 2 * count));
      expect(chunked.logProb).toEqual(whole.logProb?.slice(0, count));
    }
    const x = whole.x.slice(0, 130);
    const alone = await flow.push(x, { solver });
    const poisoned = x.slice();
    poisoned[20] = Number.NaN;
    poisoned[41] = Number.POSITIVE_INFINITY;
    const beside = await flow.push(poisoned, { solver });
    expect(beside.nonFinite).toBe(2);
    const others = (values: Float32Array) => values.filter((_, i) => i >> 1 !== 10 && i >> 1 !== 20);
    expect(others(beside.x)).toEqual(others(alone.x));
    flow.dispose();
  });

  test(`pushing a→b and then b→c on a shared grid is pushing a→c, to the bit: ${name}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    const x = uniformArray(66, -1, 1, 1);
    const logProb = uniformArray(33, -3, 0, 2);
    const times = [0, 0.1, 0.3, 0.35, 0.8, 1];
    for (const method of ["euler", "midpoint", "heun2", "rk4"] as const) {
      const whole = await flow.push(x, { solver: { method, times }, logProb, saveAt: "steps" });
      const first = await flow.push(x, { solver: { method, times: times.slice(0, 4) }, to: 0.35, logProb });
      const second = await flow.push(first.x, {
        solver: { method, times: times.slice(3) },
        from: 0.35,
        ...(first.logProb && { logProb: first.logProb }),
      });
      expect(second.x).toEqual(whole.x);
      expect(whole.saved?.slice(3 * 66, 4 * 66)).toEqual(first.x);
      expectClose(second.logProb ?? [], whole.logProb ?? [], { relative: 1e-6, absolute: 1e-6 });
    }
    flow.dispose();
  });
}

test("equal steps and the same explicit grid give the same bits; the last time is exactly the end", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const x = uniformArray(10, -1, 1, 1);
  const equal = await flow.push(x, { solver: { method: "midpoint", steps: 10 }, saveAt: "steps" });
  const times = Array.from({ length: 11 }, (_, k) => k / 10);
  const explicit = await flow.push(x, { solver: { method: "midpoint", times } });
  expect(explicit.x).toEqual(equal.x);
  expect(equal.times?.length).toBe(11);
  expect(equal.times?.[10]).toBe(1);
  expect(equal.nfe).toBe(20);
  flow.dispose();
});

test("there and back returns x; the gap falls with the square (euler) and the cube (midpoint) of the steps", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code: eightGaussians.wgsl ?? "" }) });
  const x = Float32Array.of(0.5, 0.2);
  const gap = async (method: "euler" | "midpoint", steps: number) => {
    const there = await flow.push(x, { solver: { method, steps } });
    const back = await flow.push(there.x, { solver: { method, steps }, from: 1, to: 0 });
    return Math.hypot((back.x[0] ?? 0) - 0.5, (back.x[1] ?? 0) - 0.2);
  };
  // factors 2 and 8 per doubling
  expect(Math.abs(Math.log2((await gap("euler", 32)) / (await gap("euler", 64))) - 1)).toBeLessThan(0.2);
  expect(Math.abs(Math.log2((await gap("midpoint", 16)) / (await gap("midpoint", 32))) - 3)).toBeLessThan(0.5);
  flow.dispose();
});

test("the same seed gives the same bits, and other seeds give uncorrelated particles", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const n = 10007;
  const [a, again, b] = [1, 1, 2].map((seed) => flow.sample(n, { solver: { method: "euler", steps: 1 }, seed }));
  const x = (await a)?.x0 ?? new Float32Array(0);
  expect((await again)?.x0).toEqual(x);
  const y = (await b)?.x0 ?? new Float32Array(0);
  const correlation = x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0) / x.length;
  expect(Math.abs(correlation)).toBeLessThan(4 / Math.sqrt(x.length));
  flow.dispose();
});

test("a stream yields the same particles in order, and an early break frees its buffers", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const whole = await flow.sample(1000, { solver, seed: 3 });
  const base = gpu.liveBufferCount;
  let at = 0;
  for await (const part of flow.sampleStream(1000, { solver, seed: 3, chunkSize: 130 })) {
    expect(part.start).toBe(at);
    expect(part.x).toEqual(whole.x.slice(2 * at, 2 * (at + part.count)));
    at += part.count;
  }
  expect(at).toBe(1000);
  for await (const part of flow.sampleStream(1000, { solver, seed: 3, chunkSize: 130 })) if (part.start > 0) break;
  expect(gpu.liveBufferCount).toBe(base);
  flow.dispose();
});

test("abort stops a call with the signal's reason and frees its buffers; progress counts up to the end", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  await flow.sample(10, { solver });
  const base = gpu.liveBufferCount;
  const controller = new AbortController();
  const reason = new Error("enough");
  const call = flow.sample(5000, {
    solver,
    chunkSize: 500,
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  });
  await expect(call).rejects.toBe(reason);
  expect(gpu.liveBufferCount).toBe(base);
  const done: number[] = [];
  await flow.sample(1000, { solver, chunkSize: 300, onProgress: ofNews((progress) => done.push(progress.done)) });
  expect(done).toEqual([300, 600, 900, 1000]);
  await expect(flow.sample(10, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  flow.dispose();
});

test("results that stay on the device hold the same values, and belong to the caller", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const options = { solver, seed: 5, logProb: true, saveAt: [0.5, 1], chunkSize: 64 };
  const host = await flow.sample(150, options);
  const device = await flow.sample(150, { ...options, output: "gpu" });
  const read = async (buffer: GPUBuffer | undefined, floats: number) => {
    if (!buffer) throw new Error("a buffer is missing");
    const staging = gpu.device.createBuffer({
      size: floats * 4,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, floats * 4);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const values = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    buffer.destroy();
    return values;
  };
  expect(await read(device.x, 300)).toEqual(host.x);
  expect(await read(device.x0, 300)).toEqual(host.x0);
  expect(await read(device.logProb, 150)).toEqual(host.logProb);
  expect(await read(device.saved, 600)).toEqual(host.saved);
  expect(await read(device.savedLogProb, 300)).toEqual(host.savedLogProb);
  flow.dispose();
});

test("no particles give empty results", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const none = new Float32Array(0);
  expect((await flow.sample(0)).x).toEqual(none);
  expect((await flow.push(none, { logProb: true })).logProb).toEqual(none);
  expect((await flow.logProb(none)).logProb).toEqual(none);
  expect(await flow.velocity(none, 0.5)).toEqual(none);
  expect(await flow.divergence(none, 0.5)).toEqual(none);
  for await (const _ of flow.sampleStream(0)) throw new Error("a stream of nothing yields nothing");
  flow.dispose();
});

test("100,003 particles: the last one is what it is alone", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [9] }), seed: 1 });
  const n = 100_003;
  const {
    x,
    x0 = new Float32Array(0),
    nonFinite,
  } = await flow.sample(n, { solver: { method: "midpoint", steps: 2 }, seed: 9 });
  expect(x.length).toBe(2 * n);
  expect(nonFinite).toBe(0);
  const last = await flow.push(x0.slice(2 * n - 2), { solver: { method: "midpoint", steps: 2 } });
  expect(last.x).toEqual(x.slice(2 * n - 2));
  flow.dispose();
});

test("a network whose last layer is zero leaves particles and log p untouched; one with only a last bias translates", async ({
  gpu,
}) => {
  for (const hidden of [[16], [136]]) {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden }), seed: 1 });
    const weights = await flow.weights();
    weights["net.2.weight"]?.fill(0);
    flow.setWeights(weights);
    const x = uniformArray(66, -1, 1, 1);
    const logProb = uniformArray(33, -3, 0, 2);
    const still = await flow.push(x, { solver, logProb });
    expect(still.x).toEqual(x);
    expect(still.logProb).toEqual(logProb);
    weights["net.2.bias"]?.set([1, -2]);
    flow.setWeights(weights);
    const moved = await flow.push(x, { solver, logProb });
    expectClose(
      moved.x,
      x.map((value, i) => value + (i % 2 === 0 ? 1 : -2)),
      { absolute: 1e-6 },
    );
    expect(moved.logProb).toEqual(logProb);
    flow.dispose();
  }
});

test("random times, steps and points: hidden units can be permuted, and one dimension keeps its order", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [16] }), seed: 3 });
  const weights = await flow.weights();
  const permuted = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [16] }), seed: 3 });
  const order = Array.from({ length: 16 }, (_, i) => (i * 5 + 3) % 16);
  const pick = (name: string, width: number) =>
    Float32Array.from(
      order.flatMap((unit) => Array.from({ length: width }, (_, j) => weights[name]?.[unit * width + j] ?? 0)),
    );
  permuted.setWeights({
    ...weights,
    "net.0.weight": pick("net.0.weight", 2),
    "net.0.bias": pick("net.0.bias", 1),
    "net.2.weight": pick("net.2.weight", 1),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 70 }),
      fc.integer({ min: 1, max: 9 }),
      async (points, steps) => {
        const x = Float32Array.from(points).sort();
        const options = { solver: { method: "midpoint", steps } } as const;
        const { x: moved } = await flow.push(x, options);
        for (let i = 1; i < moved.length; i++) expect(moved[i] ?? 0).toBeGreaterThanOrEqual(moved[i - 1] ?? 0);
        expectClose((await permuted.push(x, options)).x, moved, { relative: 1e-6, absolute: 1e-6 });
      },
    ),
    { numRuns: 15 },
  );
  for (const each of [flow, permuted]) each.dispose();
});
