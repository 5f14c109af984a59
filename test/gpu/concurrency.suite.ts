import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";
import { ofNews } from "./losing.ts";

const solver = { method: "midpoint", steps: 3 } as const;
const mebibyte = 1 << 20;
const velocity = () => pf.mlp({ dim: 3, hidden: [8] });
const rotation = (dim: number) =>
  pf.wgslVelocity({
    dim,
    code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
      var u = x;
      u[0] = -x[1];
      u[1] = x[0];
      return u;
    }
    fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return f32(DIM) - 2.0; }`,
  });

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

test("training and sampling at once give the bits that each gives alone", async ({ gpu }) => {
  const data = uniformArray(3 * 500, -1, 1, 3);
  const train = async () => {
    const flow = pf.Flow.create(gpu, { velocity: velocity(), seed: 1 });
    const losses = await all(pf.trainFlowMatching(flow, data, { steps: 12, batchSize: 256, seed: 2, logEvery: 3 }));
    const weights = await flow.weights();
    flow.dispose();
    return [losses.map(({ loss }) => loss), weights];
  };
  const other = pf.Flow.create(gpu, { velocity: velocity(), seed: 5 });
  const sample = async () =>
    (await all(other.sampleStream(3001, { solver, seed: 1, chunkSize: 500 }))).map(({ x }) => x);
  const [trained, sampled] = [await train(), await sample()];
  const together = await Promise.all([train(), sample(), train(), sample()]);
  expect(together).toEqual([trained, sampled, trained, sampled]);
  other.dispose();
});

test("calls between the chunks of paused streams, all within one small budget, wait for nobody", async ({ gpu }) => {
  const own = await pf.openGpu({ device: gpu.device, memoryBudget: mebibyte });
  const flow = pf.Flow.create(own, { velocity: rotation(8) });
  const n = 20_001;
  const whole = await flow.sample(n, { solver, seed: 3 });
  const streams = [1, 2, 3].map(() => flow.sampleStream(n, { solver, seed: 3 }));
  const firsts = await Promise.all(streams.map((stream) => stream.next()));
  let most = 0;
  for (const { value } of firsts) {
    const { x0, logProb } = await flow.logProb(value.x, {
      solver,
      onProgress: () => {
        most = Math.max(most, own.current.buffers.bytes);
      },
    });
    expect([x0.length, logProb.length]).toEqual([value.x.length, value.count]);
  }
  expect(most).toBeGreaterThan(0);
  expect(most <= mebibyte).toBe(true);
  for (const [i, stream] of streams.entries()) {
    const parts = [firsts[i]?.value, ...(await all(stream))];
    let at = 0;
    for (const part of parts) {
      expect(part.x).toEqual(whole.x.subarray(8 * at, 8 * (at + part.count)));
      at += part.count;
    }
    expect(at).toBe(n);
  }
  flow.dispose();
  own.dispose();
});

test("two long calls at once share the device: neither waits for the other's end", async ({ gpu }) => {
  const [a, b] = [1, 2].map((seed) => pf.Flow.create(gpu, { velocity: velocity(), seed }));
  if (!a || !b) throw new Error("two flows");
  const n = 40_000;
  const options = { solver: { method: "midpoint", steps: 20 }, chunkSize: 2000 } as const;
  await Promise.all([a, b].map((flow) => flow.sample(4000, options))); // kernels compiled, speeds known
  const done = [0, 0];
  let whenFirstEnded: number[] | undefined;
  const run = async (flow: pf.Flow, which: number) => {
    await flow.sample(n, {
      ...options,
      onProgress: (progress) => {
        done[which] = progress.done;
      },
    });
    whenFirstEnded ??= [...done];
  };
  await Promise.all([run(a, 0), run(b, 1)]);
  // one after the other would be 0; equal turns of chunks of a twentieth would be .9
  expect(Math.min(...(whenFirstEnded ?? [])) / n).toBeGreaterThan(0.6);
  a.dispose();
  b.dispose();
});

test("calls leave nothing on a signal that outlives them", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: velocity(), seed: 1 });
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listeners.add(listener);
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listeners.delete(listener);
    remove(type, listener);
  };
  await flow.sample(100, { solver, signal });
  await flow.logProb(new Float32Array(30), { solver, signal });
  for await (const _ of flow.sampleStream(5000, { solver, signal, chunkSize: 1000 })) break;
  await all(flow.logProbStream([new Float32Array(30)], { solver, signal }));
  const data = uniformArray(3 * 50, -1, 1, 3);
  await all(pf.trainFlowMatching(flow, data, { steps: 2, batchSize: 64, signal }));
  expect(listeners.size).toBe(0);
  expect(gpu.current.onLost.size).toBe(0);
  flow.dispose();
});

test("an abort ends a call at once, also while its kernels are being compiled, and the next call works", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: velocity(), seed: 7 });
  await flow.sample(5, { solver }); // weights are on the device
  const before = gpu.liveBufferCount;
  for (const wait of [0, 1, 3, 10, 40]) {
    const stop = new AbortController();
    const call = flow.sample(200_000, { solver: { method: "rk4", steps: 30 }, signal: stop.signal });
    let turns = 0;
    const later = () => {
      if (turns++ < wait) queueMicrotask(later);
      else stop.abort(new Error(`stopped after ${wait}`));
    };
    later();
    const reason = await call.then(
      () => "finished",
      (error: Error) => error.message,
    );
    expect(reason).toBe(`stopped after ${wait}`);
    expect(gpu.liveBufferCount).toBe(before);
  }
  expect((await flow.sample(5, { solver })).x.length).toBe(15);
  flow.dispose();
});

test("trainings that are aborted while they wait for a loss leave the calls beside them alone", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: velocity(), seed: 5 });
  const data = uniformArray(3 * 500, -1, 1, 3);
  const sample = () => flow.sample(3000, { solver, seed: 1, chunkSize: 400 });
  const alone = await sample();
  for (let round = 0; round < 6; round++) {
    const stop = new AbortController();
    const trained = pf.Flow.create(gpu, { velocity: velocity(), seed: 1 });
    const training = all(
      pf.trainFlowMatching(trained, data, { steps: 200, batchSize: 2048, logEvery: 1, signal: stop.signal }),
    ).then(
      () => "finished",
      (error: Error) => error.message,
    );
    const sampling = sample();
    let chunks = 0;
    const during = flow.sample(4000, {
      solver,
      seed: 2,
      chunkSize: 500,
      onProgress: ofNews(() => {
        if (++chunks > round) stop.abort(new Error("enough"));
      }),
    });
    expect((await sampling).x).toEqual(alone.x);
    await during;
    expect((await sample()).x).toEqual(alone.x);
    expect(await training).toBe("enough");
    trained.dispose();
  }
  flow.dispose();
});
