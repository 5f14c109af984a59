import * as pf from "pushforward";
import { gradientError } from "../oracle/differences.ts";
import { flowMatching } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { adamState, adamStep } from "../oracle/optimisers.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, uniformArray } from "./inputs.ts";
import { expectMatchingGradients } from "./matching-gradients.ts";
import { watchSubmissions } from "./submissions.ts";

const shapes: [string, pf.MlpOptions, number][] = [
  ...(["silu", "tanh", "softplus", "gelu", "elu", "relu", "sin"] as const).map(
    (activation): [string, pf.MlpOptions, number] => [activation, { dim: 2, hidden: [12, 9], activation }, 65],
  ),
  ["one sample", { dim: 1, hidden: [9] }, 1],
  ["63 samples, dim 3, time first", { dim: 3, hidden: [9], inputOrder: "t,x" }, 63],
  ["64 samples, dim 5, Fourier time, time first", { dim: 5, hidden: [9], time: { fourier: 3 }, inputOrder: "t,x" }, 64],
  ["1000 samples, dim 16", { dim: 16, hidden: [40] }, 1000],
  ["classes and context", { dim: 2, hidden: [9], classes: 3, context: 2, inputOrder: "t,x" }, 65],
  ["no hidden layer", { dim: 2, hidden: [] }, 65],
];

for (const [name, options, n] of shapes) {
  test(`flow-matching loss and gradients agree with the f64 oracle: ${name}`, async ({ gpu }) => {
    await expectMatchingGradients(gpu, options, n);
  });
}

const cosine = (t: number) => [
  Math.sin((Math.PI / 2) * t),
  Math.cos((Math.PI / 2) * t),
  (Math.PI / 2) * Math.cos((Math.PI / 2) * t),
  (-Math.PI / 2) * Math.sin((Math.PI / 2) * t),
] as const; // biome-ignore format: a row of coefficients
const square = (t: number) => [t * t, 1 - t, 2 * t, -1] as const;
const own: pf.Path = { alpha: (t) => t * t, sigma: (t) => 1 - t, dAlpha: (t) => 2 * t, dSigma: () => -1 };

for (const [name, path, oracle] of [
  ["cosine", "cosine", cosine],
  ["one's own", own, square],
] as const) {
  test(`other paths have the oracle's loss and gradients: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp({ dim: 2, hidden: [12, 9], classes: 2 });
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const n = 65;
    const [x0, x1, t] = [uniformArray(2 * n, -2, 2, 1), uniformArray(2 * n, -2, 2, 2), uniformArray(n, 0, 1, 3)];
    const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
    const got = await pf.flowMatchingGradients(flow, { x0, x1, t, path, ...given });
    const wanted = flowMatching(network(velocity, await flow.weights()), { x0, x1, t, conditionOf }, oracle);
    expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
    expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
    flow.dispose();
  });

  test(`a flow trained on another path moves the source to the target: ${name}`, async ({ gpu }) => {
    const steps = 200;
    const learningRate = (step: number) => 5e-3 * (1 - step / steps);
    for (const coupling of ["independent", "optimal-transport"] as const) {
      const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [32, 32] }), seed: 1 });
      const rows = uniformArray(4000, 0, 2, 9); // mean 1, deviation 1/√3
      await train(flow, rows, { steps, batchSize: 512, learningRate, path, coupling, seed: 2 });
      const { x } = await flow.sample(5000, { solver: { method: "midpoint", steps: 20 }, seed: 8 });
      const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
      const deviation = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length);
      expect(Math.abs(mean - 1)).toBeLessThan(0.06);
      expect(Math.abs(deviation - Math.sqrt(1 / 3))).toBeLessThan(0.06);
      flow.dispose();
    }
  });
}

for (const [name, options, path] of [
  ["in one kernel", { dim: 2, hidden: [9], classes: 2 }, undefined],
  ["layer by layer, on another path", { dim: 3, hidden: [] }, "cosine"],
] as [string, pf.MlpOptions, "cosine" | undefined][]) {
  test(`weights of the loss are those of the oracle: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const n = 65;
    const { dim } = velocity;
    const [x0, x1, t] = [uniformArray(n * dim, -2, 2, 1), uniformArray(n * dim, -2, 2, 2), uniformArray(n, 0, 1, 3)];
    const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
    const weighting = (time: number) => 0.1 + time ** 2;
    const got = await pf.flowMatchingGradients(flow, { x0, x1, t, weighting, ...(path && { path }), ...given });
    const batch = { x0, x1, t, conditionOf };
    const wanted = flowMatching(network(velocity, await flow.weights()), batch, path && cosine, weighting);
    expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
    expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
    flow.dispose();
  });
}

for (const predict of ["velocity", "score"] as const)
  test(`bridges have the oracle's loss and gradients: ${predict}`, async ({ gpu }) => {
    const velocity = pf.mlp({ dim: 3, hidden: [9, 7], classes: 2 });
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const n = 65;
    const [x0, x1, z] = [1, 2, 5].map((seed) => uniformArray(3 * n, -2, 2, seed)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const t = uniformArray(n, 0.05, 0.95, 3);
    const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
    const bridge = 0.8;
    const got = await pf.flowMatchingGradients(flow, { x0, x1, t, z, bridge, predict, ...given });
    // γ = σ √(t(1 − t)); the velocity has its slope, the score −1/γ, weighted by γ²
    const spread = (time: number) => bridge * Math.sqrt(time * (1 - time));
    const isScore = predict === "score";
    const amounts = (time: number) =>
      [spread(time), isScore ? -1 / spread(time) : (bridge * (0.5 - time)) / Math.sqrt(time * (1 - time))] as const;
    const rates = (time: number) => [time, 1 - time, isScore ? 0 : 1, isScore ? 0 : -1] as const;
    const batch = { x0, x1, t, conditionOf };
    const weight = (time: number) => (isScore ? spread(time) ** 2 : 1);
    const wanted = flowMatching(network(velocity, await flow.weights()), batch, rates, weight, { z, amounts });
    expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
    expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
    const message = (more: object) =>
      pf.flowMatchingGradients(flow, { x0, x1, t, ...given, ...more }).then(
        () => "nothing was thrown",
        (error: Error) => error.message,
      );
    expect(await message({ bridge })).toMatch(/z is missing, but a bridge of 65 pairs has noise \[65, 3\]/);
    expect(await message({ z })).toMatch(/z is the noise of a bridge, but there is none/);
    expect(await message({ predict: "score" })).toMatch(/predict is "score", but there is no bridge/);
    expect(await message({ bridge, z, t: t.map((time, i) => (i === 2 ? 1 : time)) })).toMatch(
      /t\[2\] is 1, but a bridge/,
    );
    flow.dispose();
  });

test("gradients of two half batches average to the whole batch's", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 3 });
  const [x0, x1, t] = [uniformArray(400, -2, 2, 1), uniformArray(400, -2, 2, 2), uniformArray(200, 0, 1, 3)];
  const part = (from: number, to: number) =>
    pf.flowMatchingGradients(flow, {
      x0: x0.slice(2 * from, 2 * to),
      x1: x1.slice(2 * from, 2 * to),
      t: t.slice(from, to),
    });
  const [whole, first, second] = [await part(0, 200), await part(0, 100), await part(100, 200)];
  for (const [name, values] of Object.entries(whole.gradients)) {
    const mean = values.map((_, i) => ((first.gradients[name]?.[i] ?? 0) + (second.gradients[name]?.[i] ?? 0)) / 2);
    expectClose(mean, values, { relative: 1e-4, absolute: 1e-6 });
  }
  flow.dispose();
});

/** Trains to the end and returns the last step told. */
async function train(flow: pf.Flow, data: Float32Array, options: pf.FlowMatchingOptions): Promise<pf.TrainingStep> {
  let last: pf.TrainingStep | undefined;
  for await (const step of pf.trainFlowMatching(flow, data, options)) last = step;
  if (!last) throw new Error("training told no step");
  return last;
}

test("training on a Gaussian reaches the irreducible loss πs/2 and moves the source to the target", async ({ gpu }) => {
  const s = 0.5;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [32, 32] }), seed: 1 });
  const normal = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [4] }) });
  const { x0 = new Float32Array(0) } = await normal.sample(20_000, { seed: 5, solver: { method: "euler", steps: 1 } });
  const data = x0.map((z) => 1 + s * z);
  const steps = 500;
  const learningRate = (step: number) => 4e-3 * (1 - step / steps);
  const { loss, step } = await train(flow, data, { steps, batchSize: 256, learningRate, logEvery: 250, seed: 2 });
  expect(step).toBe(steps);
  // the loss of one draw has a deviation of about its own size, so 250 · 256 of them are good to 0.6 %
  const least = (Math.PI * s) / 2;
  expect(loss / least).toBeGreaterThan(0.97);
  expect(loss / least).toBeLessThan(1.05);
  const { x } = await flow.sample(10_000, { solver: { method: "midpoint", steps: 10 }, seed: 8 });
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const deviation = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length);
  expect(Math.abs(mean - 1)).toBeLessThan(0.05);
  expect(Math.abs(deviation - s)).toBeLessThan(0.05);
  for (const each of [flow, normal]) each.dispose();
});

test("the same seed trains to the same bits, another seed to others", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const data = pf.toyData("moons", 500);
  const weights: Record<string, Float32Array>[] = [];
  for (const seed of [1, 1, 2]) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    await train(flow, data, { steps: 20, batchSize: 65, seed, gradientClip: 1, ema: 0.9 });
    weights.push(await flow.weights());
    flow.dispose();
  }
  expect(weights[1]).toEqual(weights[0]);
  expect(weights[2]).not.toEqual(weights[0]);
});

test("Adam and AdamW take the oracle's first step, with and without clipping", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 1, hidden: [] });
  // one row of data and a source of hardly any width: the batch is known, so the gradient is
  const source = { distribution: "uniform", low: [0], high: [1e-6] } as const;
  const cases: [pf.Optimizer, number, number | undefined][] = [
    ["adam", 0, undefined],
    [{ name: "adamw", weightDecay: 0.1 }, 0.1, undefined],
    ["adam", 0, 0.01],
  ];
  for (const [optimizer, weightDecay, gradientClip] of cases) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1, source: { ...source, low: [0], high: [1e-6] } });
    const before = await flow.weights();
    await train(flow, Float32Array.of(2), {
      steps: 1,
      batchSize: 64,
      learningRate: 0.1,
      optimizer,
      ...(gradientClip && { gradientClip }),
    });
    const after = await flow.weights();
    // on its first step Adam moves every weight by the learning rate against the sign of its gradient, whatever its size
    for (const [name, values] of Object.entries(before)) {
      for (const [i, value] of values.entries()) {
        const state = adamState(1);
        const theta = Float64Array.of(value);
        // u is about 0 and the target 2, so every gradient is negative
        adamStep(theta, Float64Array.of(-1), state, { learningRate: 0.1, weightDecay });
        expectClose([after[name]?.[i] ?? 0], theta, { relative: 1e-4, absolute: 1e-5 });
      }
    }
    flow.dispose();
  }
});

test("an early break, an abort and a consumer that throws free every buffer and keep what was learned", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const data = pf.toyData("circles", 300);
  const before = await flow.weights();
  const options = { steps: 1000, batchSize: 64, logEvery: 5 };
  await flow.velocity(data, 0.5);
  for await (const _ of pf.trainFlowMatching(flow, data, options)) break;
  const base = gpu.liveBufferCount;
  expect(await flow.weights()).not.toEqual(before);
  for await (const { step } of pf.trainFlowMatching(flow, data, { ...options, ema: 0.9 })) if (step > 8) break;
  expect(gpu.liveBufferCount).toBe(base);
  const controller = new AbortController();
  const reason = new Error("enough");
  const aborted = async () => {
    for await (const _ of pf.trainFlowMatching(flow, data, { ...options, signal: controller.signal }))
      controller.abort(reason);
  };
  await expect(aborted()).rejects.toBe(reason);
  expect(gpu.liveBufferCount).toBe(base);
  const thrown = async () => {
    for await (const _ of pf.trainFlowMatching(flow, data, options)) throw reason;
  };
  await expect(thrown()).rejects.toBe(reason);
  expect(gpu.liveBufferCount).toBe(base);
  flow.dispose();
});

test("training stops when its flow is disposed, and leaves the next owner of its memory alone", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const data = pf.toyData("circles", 300);
  const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
  let next: pf.Flow | undefined;
  const trained = async () => {
    for await (const _ of pf.trainFlowMatching(flow, data, { steps: 100, batchSize: 64, logEvery: 5, ema: 0.9 })) {
      flow.dispose();
      next = pf.Flow.create(gpu, { velocity, seed: 2 });
      await next.velocity(data, 0.5);
    }
  };
  await expect(trained()).rejects.toThrow(/has been disposed/);
  const untouched = pf.Flow.create(gpu, { velocity, seed: 2 });
  // a step of size zero packs the weights on the device anew
  for (const each of [next, untouched]) {
    if (each) await train(each, data, { steps: 1, batchSize: 64, learningRate: 0 });
  }
  expect(await next?.weights()).toEqual(await untouched.weights());
  for (const each of [next, untouched]) each?.dispose();
});

test("short steps share submits, and have the bits of steps that are submitted one by one", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const data = pf.toyData("moons", 300);
  const steps = 40;
  for (const more of [{}, { accumulate: 2, ema: 0.9, gradientClip: 1 }]) {
    const trained = async (logEvery: number) => {
      const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
      let submits = 0;
      const done = watchSubmissions(gpu, () => submits++);
      try {
        await train(flow, data, { steps, batchSize: 64, seed: 3, logEvery, ...more });
      } finally {
        done();
      }
      const weights = await flow.weights();
      flow.dispose();
      return { weights, submits };
    };
    const each = await trained(1);
    const together = await trained(steps);
    expect(together.weights).toEqual(each.weights);
    expect(each.submits).toBeGreaterThanOrEqual(steps);
    expect(together.submits).toBeLessThan(steps / 2);
  }
});

test("with a moving average the flow ends with the averaged weights", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const data = pf.toyData("moons", 300);
  const raw: Record<string, Float32Array>[] = [];
  const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
  raw.push(await flow.weights());
  for await (const { step } of pf.trainFlowMatching(flow, data, { steps: 3, batchSize: 64, logEvery: 1, ema: 0.5 })) {
    if (step < 3) raw.push(await flow.weights());
  }
  const averaged = await flow.weights();
  const plain = pf.Flow.create(gpu, { velocity, seed: 1 });
  await train(plain, data, { steps: 3, batchSize: 64 });
  raw.push(await plain.weights());
  // early averages warm up: the decay of step k is min(0.5, (1 + k)/(10 + k))
  const name = "net.0.weight";
  let expected = Float64Array.from(raw[0]?.[name] ?? []);
  for (let k = 1; k <= 3; k++) {
    const decay = Math.min(0.5, (1 + k) / (10 + k));
    expected = expected.map((value, i) => decay * value + (1 - decay) * (raw[k]?.[name]?.[i] ?? 0));
  }
  expectClose(averaged[name] ?? [], expected, { relative: 1e-5, absolute: 1e-6 });
  for (const each of [flow, plain]) each.dispose();
});

test("labels are learned: a conditional flow goes where its label says", async ({ gpu }) => {
  const n = 2000;
  const labels = Uint32Array.from({ length: n }, (_, i) => i % 2);
  const data = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? -2 : 2));
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [32], classes: 2 }), seed: 1 });
  await train(flow, data, { steps: 300, batchSize: 256, learningRate: 1e-2, labels, labelDropout: 0.2 });
  const { x } = await flow.sample(100, {
    labels: Uint32Array.from({ length: 100 }, (_, i) => i % 2),
    solver: { method: "midpoint", steps: 10 },
  });
  for (const label of [0, 1]) {
    const mine = x.filter((_, i) => i % 2 === label);
    const mean = mine.reduce((sum, value) => sum + value, 0) / mine.length;
    expect(Math.abs(mean - (label === 0 ? -2 : 2))).toBeLessThan(0.3);
  }
  flow.dispose();
});

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;
const data = Float32Array.of(0, 1, 2, 3);
const faults: [string, Float32Array, pf.FlowMatchingOptions, RegExp][] = [
  ["no data", new Float32Array(0), { steps: 1 }, /at least one row/],
  ["data of a wrong length", new Float32Array(3), { steps: 1 }, /row-major \[n, 2\]/],
  ["NaN in the data", Float32Array.of(0, 1, Number.NaN, 3), { steps: 1 }, /holds NaN at row 1, column 0/],
  ["no steps", data, loose({}), /steps is undefined/],
  ["a batch of nothing", data, { steps: 1, batchSize: 0 }, /batchSize is 0/],
  ["a negative learning rate", data, { steps: 1, learningRate: -1 }, /learningRate is -1/],
  ["an average that never moves", data, { steps: 1, ema: 1 }, /ema is 1/],
  ["labels without classes", data, { steps: 1, labels: new Uint32Array(2) }, /no classes/],
  ["an unknown option", data, loose({ steps: 1, batchsize: 3 }), /did you mean "batchSize"\?/],
];

for (const [name, rows, options, message] of faults) {
  test(`bad training input is told before anything runs: ${name}`, ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
    expect(() => pf.trainFlowMatching(flow, rows, options)).toThrow(message);
    flow.dispose();
  });
}

test("settings of an optimiser that are none are told when the first step is asked for, and the flow is as it was", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const before = await flow.weights();
  const first = (optimizer: pf.Optimizer) =>
    pf.trainFlowMatching(flow, data, { steps: 1, optimizer })[Symbol.asyncIterator]().next();
  await expect(first(loose("adan"))).rejects.toThrow(/did you mean "adam"\?/);
  await expect(first({ name: "adam", weightDecay: 0.1 })).rejects.toThrow(/use \{ name: "adamw"/);
  expect(await flow.weights()).toEqual(before);
  flow.dispose();
});

test("optimal-transport pairs are of one class each, and their labels are learned", async ({ gpu }) => {
  const n = 2000;
  const labels = Uint32Array.from({ length: n }, (_, i) => i % 2);
  const rows = Float32Array.from({ length: 2 * n }, (_, k) => (k % 2 === 1 ? 0 : (k >> 1) % 2 === 0 ? -2 : 2));
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [32], classes: 2 }), seed: 1 });
  const { transportCost } = await train(flow, rows, {
    steps: 300,
    batchSize: 200,
    learningRate: 1e-2,
    labels,
    labelDropout: 0.2,
    coupling: "optimal-transport",
  });
  // one point per class: exchanges within it change nothing, so the source of each stays the whole Gaussian
  const { coupled = 0, independent = 1 } = transportCost ?? {};
  expect(coupled / independent).toBeCloseTo(1, 5);
  const { x } = await flow.sample(100, { labels: labels.slice(0, 100), solver: { method: "midpoint", steps: 10 } });
  for (const label of [0, 1]) {
    const mine = Array.from({ length: 50 }, (_, i) => x[2 * (2 * i + label)] ?? 0);
    expect(Math.abs(mine.reduce((sum, value) => sum + value, 0) / 50 - (label === 0 ? -2 : 2))).toBeLessThan(0.3);
  }
  flow.dispose();
});

test("with context there are no optimal-transport pairs before it is told how much context counts", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16], context: 1 }), seed: 1 });
  const context = new Float32Array(data.length / 2);
  await expect(train(flow, data, { steps: 1, coupling: "optimal-transport", context })).rejects.toThrow(
    /has no contextWeight/,
  );
  flow.dispose();
});

test("optimal-transport pairs train to the same bits again, and to a lower loss than random pairs", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [32] });
  const rows = pf.toyData("8gaussians", 2000);
  const results: (Pick<pf.TrainingStep, "loss" | "transportCost"> & { weights: Record<string, Float32Array> })[] = [];
  for (const coupling of ["independent", "optimal-transport", "optimal-transport"] as const) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    const told = await train(flow, rows, { steps: 200, batchSize: 128, learningRate: 5e-3, coupling });
    const { loss, transportCost } = told;
    results.push({ loss, ...(transportCost && { transportCost }), weights: await flow.weights() });
    flow.dispose();
  }
  expect(results[2]).toEqual(results[1]);
  // paths that do not cross leave less to regress on: the straight pairs' loss is a fraction of the random ones'
  expect(results[1]?.loss).toBeLessThan(0.6 * (results[0]?.loss ?? 0));
  const cost = results[1]?.transportCost;
  expect(cost?.coupled).toBeLessThan(0.8 * (cost?.independent ?? 0));
});

test("a learning rate that blows up ends with an error that says what to do", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16], activation: "relu" }), seed: 1 });
  await expect(train(flow, data, { steps: 50, batchSize: 64, learningRate: 1e25, logEvery: 10 })).rejects.toThrow(
    /lower the learning rate/,
  );
  flow.dispose();
});

test("a batch in parts has the samples, the loss and the gradient of the whole one, clipped as a whole", async ({
  gpu,
}) => {
  const velocity = pf.mlp({ dim: 2, hidden: [9], classes: 2 });
  const rows = pf.toyData("moons", 100);
  const labels = Uint32Array.from({ length: 100 }, (_, i) => i % 2);
  // steps in proportion to the gradient, so that small ones do not turn over with its rounding
  const optimizer = { name: "adam", epsilon: 10 } as const;
  const common = {
    steps: 3,
    batchSize: 130,
    logEvery: 3,
    learningRate: 1,
    optimizer,
    gradientClip: 0.5,
    labels,
    seed: 3,
  };
  const solver = { method: "midpoint", steps: 2 } as const;
  const divergence = { probe: "rademacher" } as const;
  const trainings: ((flow: pf.Flow, o: { accumulate?: number }) => AsyncIterable<pf.TrainingStep>)[] = [
    (flow, o) => pf.trainFlowMatching(flow, rows, { ...common, labelDropout: 0.3, ...o }),
    (flow, o) => pf.trainMaximumLikelihood(flow, rows, { ...common, solver, divergence, ...o }),
  ];
  for (const training of trainings) {
    const run = async (accumulate?: number) => {
      const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
      let loss = Number.NaN;
      for await (const step of training(flow, accumulate === undefined ? {} : { accumulate })) loss = step.loss;
      const weights = Object.values(await flow.weights()).flatMap((tensor) => Array.from(tensor));
      flow.dispose();
      return { loss, weights };
    };
    const [whole, one, parts] = [await run(), await run(1), await run(5)];
    expect(one).toEqual(whole);
    expectClose([parts.loss], [whole.loss], { relative: 1e-5 });
    expectClose(parts.weights, whole.weights, { relative: 1e-4, absolute: 1e-6 });
  }
});

test("a batch that cannot be cut into equal parts says so at the first step", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const steps = pf.trainFlowMatching(flow, data, { steps: 1, batchSize: 100, accumulate: 3 });
  await expect(steps.next()).rejects.toThrow(/batchSize of 100 into equal parts: pass for example batchSize: 99/);
  flow.dispose();
});

test("what is frozen keeps its bits under weight decay, clipping and a moving average, and all else is trained", async ({
  gpu,
}) => {
  const create = () => pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8, 9] }), seed: 1 });
  const options = { steps: 3, batchSize: 65, optimizer: "adamw", gradientClip: 0.5, ema: 0.9 } as const;
  const [byName, byFunction] = [create(), create()];
  const before = await byName.weights();
  const rows = pf.toyData("moons", 100);
  await train(byName, rows, { ...options, freeze: ["net.0", "net.2.bias"] });
  const frozen = ["net.0.weight", "net.0.bias", "net.2.bias"];
  await train(byFunction, rows, { ...options, freeze: (name) => frozen.includes(name) });
  const after = await byName.weights();
  expect(await byFunction.weights()).toEqual(after);
  for (const [name, values] of Object.entries(after)) {
    if (frozen.includes(name)) expect(values).toEqual(before[name]);
    else expect(values).not.toEqual(before[name]);
  }
  const faults: [pf.TrainingOptions["freeze"], RegExp][] = [
    [["net.1"], /freeze has "net\.1", but the network has no tensor or layer of that name.*net\.4\.bias/],
    [loose("net.0"), /freeze is "net\.0", but it is a list of names/],
    [["net"], /freeze leaves nothing to train/],
    [loose((name: string) => name.length), /freeze\("net\.0\.weight"\) returned 12/],
  ];
  for (const [freeze, message] of faults)
    await expect(train(byName, rows, { ...options, ...(freeze && { freeze }) })).rejects.toThrow(message);
  for (const flow of [byName, byFunction]) flow.dispose();
});
