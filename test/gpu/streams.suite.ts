import * as pf from "pushforward";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, uniformArray } from "./inputs.ts";

const solver = { method: "midpoint", steps: 4 } as const;
const small = () => pf.mlp({ dim: 3, hidden: [8, 8] });

/** The rows of `x` in chunks of the given lengths. */
function cut(x: Float32Array, dim: number, lengths: readonly number[]): Float32Array[] {
  let at = 0;
  return lengths.map((length) => {
    at += length * dim;
    return x.subarray(at - length * dim, at);
  });
}

const bits = (values: Float32Array) => [...new Uint32Array(values.slice().buffer)];

test("logProbStream: chunks of any length, an empty one too, give the bits of one long call, in order", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 1 });
  const x = uniformArray(3 * 130, -1, 1, 7);
  const options = { solver, divergence: { probe: "gaussian", probes: 2 }, seed: 5 } as const;
  const whole = await flow.logProb(x, options);
  const starts: number[] = [];
  const parts: { logProb: number[]; x0: number[]; error: number[] } = { logProb: [], x0: [], error: [] };
  async function* produce() {
    yield* cut(x, 3, [64, 0, 1, 65]);
  }
  for await (const { start, logProb, x0, standardError } of flow.logProbStream(produce(), options)) {
    starts.push(start);
    parts.logProb.push(...bits(logProb));
    parts.x0.push(...bits(x0));
    parts.error.push(...bits(standardError ?? new Float32Array(0)));
  }
  expect(starts).toEqual([0, 64, 64, 65]);
  expect(parts.logProb).toEqual(bits(whole.logProb));
  expect(parts.x0).toEqual(bits(whole.x0));
  expect(parts.error).toEqual(bits(whole.standardError ?? new Float32Array(0)));
  flow.dispose();
});

test("pushStream: labels and context come with their chunk", async ({ gpu }) => {
  const spec = { dim: 2, hidden: [8], classes: 3, context: 1 };
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp(spec), seed: 1 });
  const n = 70;
  const x = uniformArray(2 * n, -1, 1, 8);
  const { options } = conditionsFor(spec, n, 3);
  const whole = await flow.push(x, { solver, ...options });
  const chunks = [0, 33].map((from) => {
    const to = from === 0 ? 33 : n;
    const { labels, context } = options;
    return {
      x: x.subarray(2 * from, 2 * to),
      ...(labels && { labels: labels.subarray(from, to) }),
      ...(context && { context: context.subarray(from, to) }),
    };
  });
  const all: number[] = [];
  for await (const part of flow.pushStream(chunks, { solver })) all.push(...bits(part.x));
  expect(all).toEqual(bits(whole.x));
  flow.dispose();
});

test("a stream takes no more than two chunks ahead, closes its producer when it is left, and passes its error on", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 1 });
  let taken = 0;
  let closed = 0;
  async function* produce(fails: boolean) {
    try {
      for (let i = 0; i < 10; i++) {
        if (fails && i === 2) throw new RangeError("the file ends here");
        taken++;
        yield uniformArray(3 * 5, -1, 1, i);
      }
    } finally {
      closed++;
    }
  }
  for await (const { start } of flow.logProbStream(produce(false), { solver })) {
    expect(taken).toBeLessThan(start / 5 + 3);
    if (start === 10) break;
  }
  expect(closed).toBe(1);
  taken = 0;
  const seen: number[] = [];
  const failure = await (async () => {
    for await (const { start } of flow.logProbStream(produce(true), { solver })) seen.push(start);
  })().catch((error: unknown) => error);
  expect(failure instanceof RangeError).toBe(true);
  // what came before the failure is delivered before it
  expect(seen).toEqual([0, 5]);
  expect(closed).toBe(2);
  const stop = new AbortController();
  const aborted = await (async () => {
    for await (const _ of flow.pushStream(produce(false), { solver, signal: stop.signal })) stop.abort("enough");
  })().catch((error: unknown) => error);
  expect(aborted).toBe("enough");
  expect(closed).toBe(3);
  const wrong = await flow
    .logProbStream(new Float32Array(6) as unknown as Float32Array[])
    .next()
    .catch((e: Error) => e.message);
  expect(/iterable/.test(String(wrong))).toBe(true);
  flow.dispose();
});

test("histogram and moments are those of the very samples that sample gives", async ({ gpu }) => {
  const normalization = { mean: [100, -3, 0], scale: [0.5, 2, 1] };
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 3, normalization });
  const n = 3001;
  const { x } = await flow.sample(n, { solver, seed: 11 });
  const got = await flow.moments(n, { solver, seed: 11, chunkSize: 700 });
  expect(got.count).toBe(n);
  expect(got.nonFinite).toBe(0);
  const mean = [0, 1, 2].map((i) => {
    let sum = 0;
    for (let p = 0; p < n; p++) sum += x[3 * p + i] ?? Number.NaN;
    return sum / n;
  });
  const covariance: number[] = [];
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) {
      let sum = 0;
      for (let p = 0; p < n; p++)
        sum += ((x[3 * p + i] ?? 0) - (mean[i] ?? 0)) * ((x[3 * p + j] ?? 0) - (mean[j] ?? 0));
      covariance.push(sum / (n - 1));
    }
  // summed in f32 about a shift within blocks, in f64 over them: rounding is that of a block's 1024 deviations
  expectClose(got.mean, mean, { relative: 1e-7, absolute: 1e-6 });
  expectClose(got.covariance, covariance, { relative: 1e-5, absolute: 1e-6 });
  const other = await flow.moments(n, { solver, seed: 11, chunkSize: 1500 });
  expect([...other.mean, ...other.covariance]).toEqual([...got.mean, ...got.covariance]);

  const range: [[number, number], [number, number]] = [
    [-2, 1.5],
    [99, 101],
  ];
  const { counts, outside } = await flow.histogram(n, {
    axes: [2, 0],
    bins: [5, 3],
    range,
    solver,
    seed: 11,
    chunkSize: 700,
  });
  const wanted = new Uint32Array(15);
  let missed = 0;
  for (let p = 0; p < n; p++) {
    const column = Math.floor((((x[3 * p + 2] ?? 0) + 2) / 3.5) * 5);
    const row = Math.floor((((x[3 * p] ?? 0) - 99) / 2) * 3);
    const bin = row * 5 + column;
    if (column >= 0 && column < 5 && row >= 0 && row < 3) wanted[bin] = (wanted[bin] ?? 0) + 1;
    else missed++;
  }
  expect([...counts]).toEqual([...wanted]);
  expect(outside).toBe(missed);
  expect(missed).toBeGreaterThan(0);
  const error = await flow
    .histogram(10, {
      bins: [5, 3],
      range: [
        [0, 1],
        [2, 2],
      ],
    })
    .catch((e: Error) => e.message);
  expect(/range\[1\] is \[2, 2\]/.test(String(error))).toBe(true);
  flow.dispose();
});

test("samples that are not finite are counted apart", async ({ gpu }) => {
  const code =
    "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(select(0.0, 1e38, x[0] > 1.0) * 1e4); }";
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 1, code }) });
  const n = 500;
  const { nonFinite } = await flow.sample(n, { solver, seed: 2 });
  const moments = await flow.moments(n, { solver, seed: 2 });
  expect(nonFinite).toBeGreaterThan(0);
  expect(moments.nonFinite).toBe(nonFinite);
  expect(moments.count).toBe(n - nonFinite);
  const all: [number, number] = [-100, 100];
  const { counts, outside } = await flow.histogram(n, { bins: [1, 1], range: [all, all], solver, seed: 2 });
  expect(outside).toBe(nonFinite);
  expect(counts[0]).toBe(n - nonFinite);
  flow.dispose();
});

test("a producer may wait for a result before it gives the next chunk, and a chunk may be a buffer", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 1 });
  const x = uniformArray(3 * 9, -1, 1, 4);
  let deliver: (value: Float32Array) => void = () => undefined;
  async function* produce() {
    let next: Float32Array = x;
    for (let i = 0; i < 3; i++) {
      const result = new Promise<Float32Array>((resolve) => {
        deliver = resolve;
      });
      yield next;
      next = await result;
    }
  }
  let last = x;
  for await (const part of flow.pushStream(produce(), { solver })) {
    expect(part.x).toEqual((await flow.push(last, { solver })).x);
    last = part.x;
    deliver(last);
  }
  const samples = await flow.sample(9, { solver, output: "gpu" });
  const host = await flow.sample(9, { solver });
  const parts: Float32Array[] = [];
  const chunks = [samples.x, { x: samples.x }, new Float32Array(0)];
  for await (const { logProb } of flow.logProbStream(chunks, { solver })) parts.push(logProb);
  const wanted = (await flow.logProb(host.x, { solver })).logProb;
  expect(parts).toEqual([wanted, wanted, new Float32Array(0)]);
  samples.x.destroy();
  samples.x0?.destroy();
  flow.dispose();
});

test("the mean of log p is that of the values, of arrays and of streams, and of the samples of moments", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 1 });
  const n = 2500;
  const options = { solver, seed: 5 };
  const { x, logProb = new Float32Array(0) } = await flow.sample(n, { ...options, logProb: true });
  const statistics = (values: Float32Array) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
    return [mean, Math.sqrt(variance / n)];
  };
  const own = (await flow.moments(n, { ...options, logProb: true })).logProb;
  // sums of 1024 f32 in a tree: a few roundings
  expectClose([own?.mean ?? 0, own?.standardError ?? 0], statistics(logProb), { relative: 1e-6 });
  const probes = { ...options, divergence: { probe: "rademacher" } } as const;
  const wanted = statistics((await flow.logProb(x, probes)).logProb);
  const whole = await flow.meanLogProb(x, { ...probes, chunkSize: 700 });
  const streamed = await flow.meanLogProb(cut(x, 3, [1024, 0, 700, 776]), probes);
  for (const { mean, standardError, count, nonFinite } of [whole, streamed]) {
    expectClose([mean, standardError], wanted, { relative: 1e-6 });
    expect([count, nonFinite]).toEqual([n, 0]);
  }
  const code = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }
    fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 1.0; }`;
  const velocity = pf.wgslVelocity({ dim: 1, code });
  const uniform = pf.Flow.create(gpu, { velocity, source: { distribution: "uniform", low: [0], high: [1] } });
  const { count, nonFinite } = await uniform.meanLogProb(Float32Array.of(0.5, 9, 1), { solver });
  expect([count, nonFinite]).toEqual([2, 1]);
  uniform.dispose();
  flow.dispose();
});

test("the bits of moments do not depend on the chunks", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 4, hidden: [8] }), seed: 3 });
  const [first, ...others] = await Promise.all(
    [undefined, 1, 1500].map((chunkSize) =>
      flow.moments(5001, { solver, seed: 1, logProb: true, ...(chunkSize && { chunkSize }) }),
    ),
  );
  for (const other of others) expect(other).toEqual(first);
  flow.dispose();
});

test("a stream refuses what belongs to single rows", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: small(), seed: 1 });
  const told = (options: pf.PushOptions) =>
    flow
      .pushStream([new Float32Array(3)], options)
      .next()
      .then(String, (error: Error) => error.message);
  expect(await told({ logProb: new Float32Array(1) })).toMatch(/logProb is a Float32Array of 1 for the whole stream/);
  expect(await told({ output: "gpu" })).toMatch(/a stream's results go to the host/);
  expect(await told({ divergence: { probe: "gaussian", vectors: new Float32Array(3) } })).toMatch(/vectors were given/);
  flow.dispose();
});
