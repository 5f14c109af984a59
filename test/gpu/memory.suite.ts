import * as pf from "pushforward";
import { expect, test } from "../suite.ts";

const solver = { method: "midpoint", steps: 3 } as const;

/** A Gpu on a device of its own whose buffers may have so many bytes: what is larger does not fit, as on a device that is full. */
async function smallGpu(bytes: number): Promise<pf.Gpu> {
  const gpu = await pf.openGpu();
  const limits = new Proxy(gpu.device.limits, {
    get: (real, name) => (name === "maxBufferSize" ? bytes : Reflect.get(real, name, real)),
  });
  Object.defineProperty(gpu.device, "limits", { value: limits });
  return gpu;
}

test("a chunk that does not fit is halved until it does, with the same bits", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 3, hidden: [4] });
  const own = await smallGpu(1 << 14);
  const n = 5001;
  const results: Float32Array[][] = [];
  for (const each of [gpu, own]) {
    const flow = pf.Flow.create(each, { velocity, seed: 1 });
    const before = each.liveBufferCount;
    const { x, logProb = new Float32Array(0) } = await flow.sample(n, { solver, logProb: true, chunkSize: 4000 });
    const { mean } = await flow.moments(n, { solver });
    const parts: Float32Array[] = [];
    for await (const part of flow.sampleStream(3000, { solver, chunkSize: 3000 })) parts.push(part.x);
    expect(parts.length > 1).toBe(each === own);
    expect(each.liveBufferCount - before <= 7).toBe(true); // the weights, once for each of three packings at most
    results.push([x, logProb, Float32Array.from(mean), Float32Array.from(parts.flatMap((part) => [...part]))]);
    flow.dispose();
    expect(each.liveBufferCount).toBe(each === own ? 0 : before);
  }
  expect(results[1]?.[0]).toEqual(results[0]?.[0]);
  expect(results[1]?.[1]).toEqual(results[0]?.[1]);
  expect(results[1]?.[3]).toEqual(results[0]?.[3]);
  own.dispose();
});

test("results that do not fit on the device are refused with the number of particles that do", async () => {
  const gpu = await smallGpu(1 << 14);
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }), seed: 1 });
  const onDevice = (n: number) => flow.sample(n, { solver, output: "gpu" });
  const error = await onDevice(2049).then(
    () => undefined,
    (reason: pf.PushforwardError) => reason,
  );
  expect(error?.code).toBe("out-of-memory");
  expect(error?.message).toMatch(/^sample: 2,049 particles .* calls of up to 2,048 particles fit/);
  const { x, x0 } = await onDevice(2048);
  for (const made of [x, x0]) made?.destroy();
  flow.dispose();
  expect(gpu.liveBufferCount).toBe(0);
  gpu.dispose();
});

test("what fits in no way ends with out-of-memory and the figures, and the next call works", async () => {
  const gpu = await smallGpu(1 << 12);
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const error = await flow.push(new Float32Array(200), { solver: { method: "euler", steps: 4000 } }).then(
    () => undefined,
    (reason: pf.PushforwardError) => reason,
  );
  expect(error?.code).toBe("out-of-memory");
  expect(error?.message).toMatch(/needs a buffer of \d+ bytes, but this device allows 4096/);
  expect((await flow.push(new Float32Array(200), { solver })).x.length).toBe(200);
  flow.dispose();
  expect(gpu.liveBufferCount).toBe(0);
  gpu.dispose();
});

test("a batch for which a training has no room is refused with the parts in which it fits, in which it trains", async () => {
  // adapters in software read the weights of a layer through a window of 64 KiB; a row of the batch takes 24 KiB
  const gpu = await smallGpu(68 << 10);
  const data = pf.toyData("moons", 100);
  const trainings: ((flow: pf.Flow, o: { accumulate?: number }) => AsyncIterable<pf.TrainingStep>)[] = [
    (flow, o) => pf.trainFlowMatching(flow, data, { steps: 1, batchSize: 6000, ...o }),
    (flow, o) => pf.trainMaximumLikelihood(flow, data, { steps: 1, batchSize: 6000, solver, ...o }),
  ];
  for (const training of trainings) {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }), seed: 1 });
    const run = async (o: { accumulate?: number }) => {
      for await (const _ of training(flow, o));
    };
    const error = await run({}).then(
      () => undefined,
      (reason: pf.PushforwardError) => reason,
    );
    expect(error?.code).toBe("out-of-memory");
    const parts = /a batch of 6,000 samples .* accumulate: (\d+) computes the same in parts of/.exec(
      error?.message ?? "",
    );
    const accumulate = Number(parts?.[1]);
    await run({ accumulate });
    // one of the divisors of 6000 before it does not fit
    const before = Math.max(...[1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30].filter((count) => count < accumulate));
    await expect(run({ accumulate: before })).rejects.toThrow(`accumulate: ${accumulate} `);
    flow.dispose();
  }
  expect(gpu.liveBufferCount).toBe(0);
  gpu.dispose();
});
