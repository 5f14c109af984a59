import * as pf from "pushforward";
import { expect, expectClose, test } from "../suite.ts";
import { ofNews } from "./losing.ts";
import { watchSubmissions } from "./submissions.ts";

const rows = 150;
const data = pf.toyData("moons", rows);
const held = pf.toyData("moons", 37, 5);
const labels = Uint32Array.from({ length: rows }, (_, i) => i % 2);
const context = Float32Array.from({ length: rows }, (_, i) => i / rows);
const conditions = { labels, context };
const heldConditions = { labels: labels.subarray(0, 37), context: context.subarray(0, 37) };
const plain = pf.mlp({ dim: 2, hidden: [8] });
const conditional = pf.mlp({ dim: 2, hidden: [8], classes: 2, context: 1 });
const base = { steps: 7, batchSize: 65, logEvery: 3 };

async function told(training: AsyncIterable<pf.TrainingStep>): Promise<pf.TrainingStep[]> {
  const all: pf.TrainingStep[] = [];
  for await (const step of training) all.push(step);
  return all;
}

const losses = (steps: pf.TrainingStep[]) => steps.map(({ step, validationLoss }) => [step, validationLoss]);

for (const [name, velocity, options, validation] of [
  [
    "classes, context and a moving average",
    conditional,
    { ...conditions, labelDropout: 0.5, ema: 0.9 },
    heldConditions,
  ],
  ["optimal-transport pairs", plain, { coupling: "optimal-transport" }, {}],
] as [string, pf.MlpVelocity, Partial<pf.FlowMatchingOptions>, Partial<pf.ValidationOptions>][]) {
  test(`flow matching tells the loss of the same validation draws and trains as without them: ${name}`, async ({
    gpu,
  }) => {
    const normalization = pf.fitNormalization(data, 2);
    const create = () => pf.Flow.create(gpu, { velocity, seed: 1, normalization });
    const [flow, other] = [create(), create()];
    const o = { ...base, ...options, validation: { data: held, every: 2, ...validation } };
    const steps = await told(pf.trainFlowMatching(flow, data, o));
    expect(steps.map(({ step }) => step)).toEqual([2, 3, 4, 6, 7]);
    expect(steps.map(({ validationLoss }) => validationLoss === undefined)).toEqual([false, true, false, false, false]);
    for await (const _ of pf.trainFlowMatching(other, data, { ...base, ...options }));
    expect(await flow.weights()).toEqual(await other.weights());

    // the flow now has the weights that the last loss is of, and a step of size zero leaves them as they are
    const still = { ...o, steps: 4, learningRate: 0, validation: { ...o.validation, every: 1 } };
    const again = await told(pf.trainFlowMatching(flow, data, still));
    const last = steps.at(-1)?.validationLoss;
    for (const { validationLoss } of again.slice(0, options.ema ? 0 : 4)) expect(validationLoss).toBe(last);
    expectClose([again.at(-1)?.validationLoss ?? Number.NaN], [last ?? 0], { relative: 1e-5 });
    for (const each of [flow, other]) each.dispose();
  });
}

test("the validation loss of flow matching is the mean square of the residual", async ({ gpu }) => {
  // a source of hardly any width and one row of data: x_t = 2t and the target is 2
  const source = { distribution: "uniform", low: [0], high: [1e-6] } as const;
  const velocity = pf.mlp({ dim: 1, hidden: [] });
  const flow = pf.Flow.create(gpu, { velocity, source: { ...source, low: [0], high: [1e-6] } });
  flow.setWeights({ "net.0.weight": Float32Array.of(0.5, -0.3), "net.0.bias": Float32Array.of(1) });
  const validation = { data: Float32Array.of(2), samples: 20_000 };
  const options = { steps: 1, batchSize: 1000, learningRate: 0, validation };
  const [step] = await told(pf.trainFlowMatching(flow, Float32Array.of(9), options));
  // ∫(a t + b)² dt with u − 2 = (0.5·2 − 0.3) t + 1 − 2
  const [a, b] = [0.7, -1];
  // 20,000 times: the mean of a square between 0.09 and 1 is good to a standard error of 0.3 %
  expectClose([step?.validationLoss ?? 0], [(a * a) / 3 + a * b + b * b], { relative: 0.015 });
  flow.dispose();
});

test("maximum likelihood tells −mean log p of the validation rows by its own solver, of the averaged weights", async ({
  gpu,
}) => {
  const create = () => pf.Flow.create(gpu, { velocity: conditional, seed: 1 });
  const [flow, other] = [create(), create()];
  const solver = { method: "heun2", steps: 2 } as const;
  const divergence = { probe: "rademacher" } as const;
  const o = { ...base, ...conditions, solver, divergence, seed: 3, ema: 0.9 };
  const validation = { data: held, ...heldConditions };
  const steps = await told(pf.trainMaximumLikelihood(flow, data, { ...o, validation }));
  for await (const _ of pf.trainMaximumLikelihood(other, data, o));
  expect(await flow.weights()).toEqual(await other.weights());
  const { mean } = await flow.meanLogProb(held, { ...heldConditions, solver, divergence, seed: 3 });
  expect(losses(steps).map(([step]) => step)).toEqual([3, 6, 7]);
  expect(steps.at(-1)?.validationLoss).toBe(-mean);
  expect(steps[0]?.validationLoss).not.toBe(steps[1]?.validationLoss);
  for (const each of [flow, other]) each.dispose();
});

test("progress of a training counts its steps, and ends at all of them", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain });
  for (const train of [pf.trainFlowMatching, pf.trainMaximumLikelihood]) {
    const seen: pf.Progress[] = [];
    const solver = { method: "midpoint", steps: 2 } as const;
    const o = { ...base, onProgress: ofNews((progress) => void seen.push(progress)) };
    await told(train(flow, data, train === pf.trainMaximumLikelihood ? { ...o, solver } : o));
    expect(seen[0]).toMatchObject({ done: 1, total: 7 });
    expect(seen.at(-1)).toMatchObject({ done: 7, total: 7, secondsLeft: 0 });
    for (const { particlesPerSecond } of seen) expect(particlesPerSecond).toBeGreaterThan(0);
  }
  flow.dispose();
});

test("a training that is aborted or fails while it validates frees everything, and the next call works", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain });
  const solver = { method: "midpoint", steps: 2 } as const;
  await flow.logProb(held, { solver });
  const live = gpu.liveBufferCount;
  for (const train of [pf.trainFlowMatching, pf.trainMaximumLikelihood]) {
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = () => controller.abort(reason);
    const own = train === pf.trainMaximumLikelihood ? { solver } : {};
    const o = { ...base, ...own, signal: controller.signal, onProgress, validation: { data: held, every: 1 } };
    await expect(told(train(flow, data, o))).rejects.toBe(reason);
    expect(gpu.liveBufferCount).toBe(live);
    const { logProb } = await flow.logProb(held, { solver });
    expect(logProb.every(Number.isFinite)).toBe(true);
  }
  flow.dispose();
});

test("an abort ends a validation that would take minutes", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain });
  const many = Float32Array.from({ length: 2_000_000 }, (_, i) => held[i % held.length] ?? 0);
  await flow.logProb(held, { solver: { method: "euler", steps: 1 } }); // the weights are on the device
  const live = gpu.liveBufferCount;
  const solver = { method: "midpoint", steps: 20 } as const;
  const trainings: ((o: object) => AsyncIterable<pf.TrainingStep>)[] = [
    (o) => pf.trainFlowMatching(flow, data, { ...base, ...o, validation: { data: held, every: 1, samples: 1e10 } }),
    (o) => pf.trainMaximumLikelihood(flow, data, { ...base, ...o, solver, validation: { data: many, every: 1 } }),
  ];
  for (const train of trainings) {
    const controller = new AbortController();
    const reason = new Error("enough");
    let aborted = Number.NaN;
    const abort = () => {
      aborted = performance.now();
      controller.abort(reason);
    };
    // the third submission after the first step is of the validation, which follows it
    let submitted = Number.NaN;
    const onProgress = ofNews(() => {
      submitted = 0;
    });
    const restore = watchSubmissions(gpu, () => {
      if (++submitted === 3) abort();
    });
    await expect(told(train({ signal: controller.signal, onProgress })))
      .rejects.toBe(reason)
      .finally(restore);
    expect(performance.now() - aborted).toBeLessThan(20_000);
    expect(gpu.liveBufferCount).toBe(live);
  }
  flow.dispose();
});

test("a training ends when its patience does, and where keepBest is asked for with the weights of the best step", async ({
  gpu,
}) => {
  const create = () => pf.Flow.create(gpu, { velocity: plain, seed: 1 });
  const learningRate = (step: number) => (step < 4 ? 1e-2 : 0.5);
  const [flow, short, last, resumed, diverged] = [create(), create(), create(), create(), create()];
  const validation = { data: held, every: 1, patience: 2, keepBest: true };
  const own = { ...base, steps: 20, learningRate };
  const saved = new Map<number, Uint8Array>();
  const checkpoint = { every: 50, save: (bytes: Uint8Array, step: number) => void saved.set(step, bytes) };
  const steps = await told(pf.trainFlowMatching(flow, data, { ...own, validation, checkpoint }));
  const all = steps.map(({ validationLoss = Number.NaN }) => validationLoss);
  const best = all.indexOf(Math.min(...all)) + 1;
  expect(steps.length).toBe(best + 2);
  expect(steps.length).toBeLessThan(20);
  expect(steps.at(-1)?.best).toEqual({ step: best, validationLoss: all[best - 1] });
  for await (const _ of pf.trainFlowMatching(short, data, { ...own, steps: best }));
  expect(await flow.weights()).toEqual(await short.weights());
  // a checkpoint of the end is one of a training that has ended
  expect([...saved.keys()]).toEqual([steps.length]);
  const resume = saved.get(steps.length) ?? new Uint8Array();
  expect(await told(pf.trainFlowMatching(resumed, data, { ...own, validation, resume }))).toEqual([]);
  expect(await resumed.weights()).toEqual(await flow.weights());
  const other = { ...own, validation: { ...validation, patience: 3 }, resume };
  await expect(told(pf.trainFlowMatching(resumed, data, other))).rejects.toThrow(/patience is 2 there and 3 here/);
  // without keepBest it ends with its last weights
  await told(pf.trainFlowMatching(last, data, { ...own, validation: { ...validation, keepBest: false } }));
  expect(await last.weights()).not.toEqual(await flow.weights());
  // however it ends
  const wild = { ...own, learningRate: (step: number) => (step < 4 ? 1e-2 : 3e38) };
  const lost = expect(told(pf.trainFlowMatching(diverged, data, { ...wild, validation }))).rejects;
  await lost.toThrow(/the flow has its weights of step \d, the best ones by the validation data/);
  for (const each of [flow, short, last, resumed, diverged]) each.dispose();
});

test("bad validation and progress options are told in words", async ({ gpu }) => {
  const loose = (value: unknown) => value as never;
  const flow = pf.Flow.create(gpu, { velocity: plain });
  const faults: [pf.ValidationOptions, RegExp][] = [
    [{ data: new Float32Array(3) }, /validation: data has 3 values, but a flow of dim 2 needs a multiple of 2/],
    [{ data: new Float32Array(0) }, /data is empty/],
    [{ data: Float32Array.of(0, Number.NaN) }, /data holds NaN at row 0, column 1/],
    [{ data: held, every: 0 }, /validation\.every is 0/],
    [{ data: held, patience: 0 }, /validation\.patience is 0/],
    [{ data: held, keepBest: loose(1) }, /validation\.keepBest is 1, but it is true or false/],
    [{ data: held, labels: new Uint32Array(37) }, /no classes/],
    [loose({ dat: held }), /did you mean "data"/],
  ];
  for (const [validation, message] of faults)
    await expect(told(pf.trainFlowMatching(flow, data, { ...base, validation }))).rejects.toThrow(message);
  expect(() => pf.trainFlowMatching(flow, data, { ...base, onProgress: loose(3) })).toThrow(/onProgress is 3/);
  flow.dispose();
});
