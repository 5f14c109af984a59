import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { lose, ownGpu } from "./losing.ts";
import { watchThreads } from "./threads.ts";

const rows = 300;
const data = pf.toyData("moons", rows);
const labels = Uint32Array.from({ length: rows }, (_, i) => i % 2);
const context = Float32Array.from({ length: 2 * rows }, (_, i) => Math.cos(i));
const velocity = pf.mlp({ dim: 2, hidden: [4], classes: 2, context: 2 });
// several groups are made while it runs, and some leave the pool
const coupling = { method: "exact", group: 48, reuse: 2, pool: 100, contextWeight: 3 } as const;
const base = { steps: 9, batchSize: 65, logEvery: 3, labels, context, coupling, seed: 2 ** 40 + 5, learningRate: 1e-2 };

/** What a training tells, its checkpoints and the weights. */
async function run(gpu: pf.Gpu, own: Partial<pf.FlowMatchingOptions> = {}, disturb: (step: number) => void = () => {}) {
  const flow = pf.Flow.create(gpu, { velocity, seed: own.resume ? 9 : 1 });
  const saved = new Map<number, Uint8Array>();
  const checkpoint = { every: 4, save: (bytes: Uint8Array, step: number) => void saved.set(step, bytes) };
  const told: object[] = [];
  try {
    for await (const { samplesPerSecond, ...step } of pf.trainFlowMatching(flow, data, {
      ...base,
      checkpoint,
      ...own,
    })) {
      told.push(step);
      disturb(step.step);
    }
    return { told, saved, weights: await flow.weights() };
  } finally {
    flow.dispose();
  }
}

test("pairs are the same whoever makes them: this thread, one other, or three", async ({ gpu }) => {
  const [here, one, three] = [0, 1, 3].map((threads) => run(gpu, { coupling: { ...coupling, threads } }));
  expect(await one).toEqual(await here);
  expect(await three).toEqual(await here);
});

test("a training with a pool of pairs, labels and context resumes to the same bits, and says what differs", async ({
  gpu,
}) => {
  const whole = await run(gpu);
  for (const step of [4, 8]) {
    const resumed = await run(gpu, {
      resume: whole.saved.get(step) as Uint8Array,
      coupling: { ...coupling, threads: 2 },
    });
    expect(resumed.weights).toEqual(whole.weights);
    expect(resumed.saved.get(9)).toEqual(whole.saved.get(9));
    expect(resumed.told).toEqual(whole.told.slice(step === 4 ? 1 : 2));
  }
  const other = { resume: whole.saved.get(4) as Uint8Array, coupling: { ...coupling, pool: 200 } };
  await expect(run(gpu, other)).rejects.toThrow(/coupling\.kept is 2 there and 4 here/);
});

test("a training with a pool of pairs goes on after the loss of its device", async ({ gpu }) => {
  const wanted = await run(gpu);
  const { gpu: own, devices } = await ownGpu();
  const got = await run(own, {}, (step) => {
    devices();
    if (step === 6) lose(own);
  });
  expect(got).toEqual(wanted);
  expect(devices()).toBe(2);
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("an abort ends a training that waits for its pairs", async ({ gpu, home }) => {
  const controller = new AbortController();
  const reason = new Error("no more");
  const large = { method: "exact", group: 512, reuse: 1, contextWeight: 3, threads: 1 } as const;
  const threads = await watchThreads(home);
  try {
    const training = run(gpu, { steps: 1000, batchSize: 1024, coupling: large, signal: controller.signal });
    void threads.asked.then(() => controller.abort(reason));
    await expect(training).rejects.toBe(reason);
    expect([threads.answers, threads.running]).toEqual([0, 0]);
  } finally {
    threads.restore();
  }
});

test("threads make the pairs in every home, and are ended with the training", async ({ gpu, home }) => {
  const threads = await watchThreads(home);
  try {
    await run(gpu, { coupling: { ...coupling, threads: 2 } });
    expect(threads.answers).toBeGreaterThan(1);
    expect(threads.running).toBe(0);
  } finally {
    threads.restore();
  }
});

test("a bad record of a coupling is told in words when the first step is asked for", async ({ gpu }) => {
  await expect(run(gpu, { coupling: { ...coupling, group: 5000 } })).rejects.toThrow(/coupling\.group is 5000/);
});
