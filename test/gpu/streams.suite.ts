import * as pf from "pushforward";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, uniformArray } from "./inputs.ts";

const solver = { method: "midpoint", steps: 4 } as const;
const small = () => pf.mlp({ dim: 3, hidden: [16, 16] });

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
  const spec = { dim: 2, hidden: [16], classes: 3, context: 1 };
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
  expect(seen).toEqual([0]);
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
