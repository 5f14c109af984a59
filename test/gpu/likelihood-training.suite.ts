import * as pf from "pushforward";
import { reverseSizes } from "../../shaders/tile-reverse.ts";
import { tileReverse } from "../../src/kernels/tile-reverse.ts";
import { waveOf } from "../../src/kernels/waves.ts";
import { must } from "../../src/must.ts";
import { networkOf } from "../../src/network/of.ts";
import { activationNames } from "../oracle/activations.ts";
import { gaussianMixture } from "../oracle/densities.ts";
import { gradientError } from "../oracle/differences.ts";
import { likelihood } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { asGpu, conditionsFor, rowOf, strengthen, uniformArray } from "./inputs.ts";

interface Case {
  velocity: pf.MlpOptions;
  n: number;
  method?: "euler" | "midpoint" | "heun2" | "rk4";
  steps?: number;
  probes?: number;
  source?: { mean: number[]; std: number[] };
  regularization?: { kineticEnergy: number; jacobianFrobenius: number };
}

/** RNODE's penalties, large enough to be most of the gradient. */
const regularization = { kineticEnergy: 0.8, jacobianFrobenius: 0.6 };

const cases: Record<string, Case> = {
  ...Object.fromEntries(
    activationNames.map((activation) => [activation, { velocity: { dim: 2, hidden: [8, 5], activation }, n: 37 }]),
  ),
  ...Object.fromEntries(
    activationNames.map((activation) => [
      `${activation}, wider than one kernel holds`,
      { velocity: { dim: 2, hidden: [130], activation }, n: 5, steps: 1 },
    ]),
  ),
  "one dimension, euler": { velocity: { dim: 1, hidden: [9] }, n: 65, method: "euler", steps: 3 },
  "three dimensions, heun2, time first": {
    velocity: { dim: 3, hidden: [8, 7, 5], inputOrder: "t,x" },
    n: 64,
    method: "heun2",
  },
  "eight dimensions, rk4": { velocity: { dim: 8, hidden: [9], activation: "tanh" }, n: 21, method: "rk4" },
  "eight dimensions, layer by layer": { velocity: { dim: 8, hidden: [131, 9] }, n: 9, method: "rk4", steps: 1 },
  "one probe": { velocity: { dim: 3, hidden: [9] }, n: 33, probes: 1 },
  "three probes": { velocity: { dim: 3, hidden: [9] }, n: 33, probes: 3 },
  "five probes, layer by layer": { velocity: { dim: 17, hidden: [18] }, n: 6, probes: 5 },
  "Fourier time, classes and context": {
    velocity: { dim: 2, hidden: [9], time: { fourier: 2 }, classes: 3, context: 2 },
    n: 19,
  },
  "classes and context, layer by layer": {
    velocity: { dim: 2, hidden: [129], classes: 3, context: 2 },
    n: 19,
    steps: 1,
  },
  "another source": { velocity: { dim: 2, hidden: [9] }, n: 9, source: { mean: [0.3, -1], std: [0.7, 2] } },
  "no hidden layer": { velocity: { dim: 2, hidden: [] }, n: 9 },
  ...Object.fromEntries(
    (["tanh", "relu"] as const).map((activation) => [
      `penalties, ${activation}`,
      { velocity: { dim: 2, hidden: [8, 5], activation }, n: 37, regularization },
    ]),
  ),
  "penalties, five dimensions, heun2": { velocity: { dim: 5, hidden: [9] }, n: 19, method: "heun2", regularization },
  "penalties, three probes": { velocity: { dim: 3, hidden: [9] }, n: 33, probes: 3, regularization },
  "penalties, layer by layer": { velocity: { dim: 6, hidden: [131, 9] }, n: 9, steps: 1, regularization },
  "penalties, probes, layer by layer": { velocity: { dim: 17, hidden: [18] }, n: 6, probes: 5, regularization },
  "penalties, no hidden layer": { velocity: { dim: 2, hidden: [] }, n: 9, regularization },
};

/** Loss and gradient of a likelihood, beside those in f64. */
async function expectLikelihood(
  gpu: pf.Gpu,
  { velocity: options, n, method = "midpoint", steps = 2, probes, source, ...more }: Case,
): Promise<void> {
  const velocity = pf.mlp(options);
  const { dim } = options;
  const flow = pf.Flow.create(gpu, {
    velocity,
    seed: 3,
    ...(source && { source: { distribution: "gaussian", ...source } }),
  });
  const weights = await strengthen(flow);
  const x = uniformArray(n * dim, -1.5, 1.5, 1);
  const vectors = probes === undefined ? undefined : uniformArray(probes * n * dim, -1.2, 1.2, 7);
  const conditions = conditionsFor(velocity, n, 4);
  const got = await pf.likelihoodGradients(flow, x, {
    solver: { method, steps },
    ...(vectors && { divergence: { probe: "gaussian", probes: probes ?? 1, vectors } }),
    ...conditions.options,
    ...more,
  });
  const wanted = likelihood(network(velocity, weights), x, {
    ...more,
    method,
    times: timesOf(1, 0, steps),
    conditionOf: conditions.conditionOf,
    ...(vectors && {
      divergenceOf: (i: number) =>
        Array.from({ length: probes ?? 1 }, (_, k) => rowOf(vectors.subarray(k * n * dim), dim, i)),
    }),
    ...(source && { source: gaussianMixture([source.mean], [source.std], [1]) }),
  });
  expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
  // gradients: 1e-4 relative to the whole gradient
  expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
  flow.dispose();
}

for (const [name, given] of Object.entries(cases))
  test(`likelihood loss and gradients agree with the f64 oracle: ${name}`, ({ gpu }) => expectLikelihood(gpu, given));

const onTiles: Record<string, Case> = {
  "three dimensions, heun2, time first, several tiles": {
    velocity: { dim: 3, hidden: [8, 35], inputOrder: "t,x" },
    n: 97,
    method: "heun2",
  },
  "five dimensions in passes of four": { velocity: { dim: 5, hidden: [9] }, n: 33, steps: 1 },
  "three probes": { velocity: { dim: 2, hidden: [9, 7], activation: "tanh" }, n: 33, probes: 3 },
  "classes and context": { velocity: { dim: 2, hidden: [9], classes: 3, context: 2 }, n: 33, steps: 1 },
  "probes, classes and context": {
    velocity: { dim: 2, hidden: [9], classes: 3, context: 2 },
    n: 33,
    steps: 1,
    probes: 1,
  },
  "no hidden layer, euler": { velocity: { dim: 2, hidden: [] }, n: 9, method: "euler" },
  "more than 64 wide": { velocity: { dim: 2, hidden: [67] }, n: 17, steps: 1, method: "euler" },
  "rk4, five dimensions": { velocity: { dim: 5, hidden: [9] }, n: 33, steps: 2, method: "rk4" },
  "rk4, probes, penalties": { velocity: { dim: 2, hidden: [9] }, n: 33, method: "rk4", probes: 2, regularization },
  "penalties, five dimensions": { velocity: { dim: 5, hidden: [7] }, n: 17, steps: 1, regularization },
};
for (const [name, given] of Object.entries(onTiles))
  test(
    `on a GPU's tiles likelihood loss and gradients agree with the f64 oracle: ${name}`,
    async () => {
      using gpu = await asGpu();
      await expectLikelihood(gpu, given);
    },
    { timeoutSeconds: 600 },
  );

test(
  "on a GPU's tiles likelihood loss and gradients agree with the f64 oracle: where halves of inputs are fetched, to spare memory",
  async () => {
    using gpu = await asGpu();
    const given = { velocity: { dim: 2, hidden: [40, 40] }, n: 37, steps: 1 };
    const network = networkOf(pf.mlp(given.velocity));
    const tile = (memory: number, shared = true) => {
      const limits = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: memory };
      const found = tileReverse(network, { tangents: 2, kind: "basis" }, shared ? wave : undefined, limits);
      return found && { ...found.tiling, bytes: reverseSizes(found.network, found.tiling, found.work).bytes };
    };
    const wave = await waveOf(gpu);
    // where a device has no subgroups, there is no such tile to try
    if (!wave) return;
    const whole = must(tile(1 << 20), "a tile");
    const memory = whole.bytes - 1;
    expect([whole.sparesMemory, tile(memory)?.sparesMemory]).toEqual([undefined, true]);
    const { limits } = gpu.device;
    const get = (of: GPUSupportedLimits, name: keyof GPUSupportedLimits) =>
      name === "maxComputeWorkgroupStorageSize" ? memory : of[name];
    Object.defineProperty(gpu.device, "limits", { value: new Proxy(limits, { get }) });
    await expectLikelihood(gpu, given);
  },
  { timeoutSeconds: 600 },
);

const ofBlocks: Record<string, NonNullable<Parameters<typeof pf.likelihoodGradients>[2]>> = {
  exact: {},
  "probes, rk4": { divergence: { probe: "rademacher", probes: 2 }, solver: { method: "rk4", steps: 1 }, seed: 3 },
  penalties: { regularization },
};
for (const [name, options] of Object.entries(ofBlocks))
  test(
    `on a GPU's tiles the likelihood gradients of residual blocks are those of layer after layer: ${name}`,
    async ({ gpu }) => {
      using tiles = await asGpu();
      const velocity = pf.residualMlp({ dim: 2, width: 8, blocks: 2, time: "concat" });
      const x = uniformArray(2 * 37, -1.5, 1.5, 1);
      const gradientsBy = async (gpu: pf.Gpu) => {
        const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
        await strengthen(flow);
        const made = await pf.likelihoodGradients(flow, x, { solver: { method: "midpoint", steps: 1 }, ...options });
        flow.dispose();
        return made;
      };
      const [got, wanted] = [await gradientsBy(tiles), await gradientsBy(gpu)];
      expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
      expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-5);
    },
    { timeoutSeconds: 600 },
  );

test("the likelihood gradient's loss is that of logProb, normalization included", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, {
    velocity: pf.mlp({ dim: 2, hidden: [8] }),
    seed: 2,
    normalization: { mean: [1, -2], scale: [3, 0.5] },
  });
  const x = uniformArray(2 * 77, -3, 3, 5);
  const solver = { method: "midpoint", steps: 3 } as const;
  for (const divergence of ["exact", { probe: "rademacher", probes: 2 }] as const) {
    const { loss } = await pf.likelihoodGradients(flow, x, { solver, divergence, seed: 9 });
    const { logProb } = await flow.logProb(x, { solver, divergence, seed: 9 });
    expectClose([loss], [-logProb.reduce((sum, value) => sum + value, 0) / 77], { relative: 1e-6 });
  }
  flow.dispose();
});

for (const objective of ["continuous", "discrete"] as const)
  test(`a batch of which some steps are kept for the gradient has that of its parts, which are kept: ${objective}`, async ({
    gpu,
  }) => {
    const velocity = pf.mlp({ dim: 2, hidden: [32, 32], activation: "sin" });
    const flow = pf.Flow.create(gpu, { velocity, seed: 2 });
    // on adapters in software the passes of a group of this batch begin and end within a step
    const [all, part] = [12288, 768];
    const x = uniformArray(2 * all, -2, 2, 5);
    const options = { objective, solver: { method: "heun2", steps: 5 } } as const;
    const whole = await pf.likelihoodGradients(flow, x, options);
    let loss = 0;
    const mean = new Map<string, number[]>();
    for (let first = 0; first < all; first += part) {
      const own = await pf.likelihoodGradients(flow, x.subarray(2 * first, 2 * (first + part)), options);
      loss += (own.loss * part) / all;
      for (const [name, values] of Object.entries(own.gradients))
        mean.set(
          name,
          Array.from(values, (value, i) => (mean.get(name)?.[i] ?? 0) + (value * part) / all),
        );
    }
    expectClose([whole.loss], [loss], { relative: 1e-6 });
    expect(gradientError(whole.gradients, Object.fromEntries(mean))).toBeLessThan(1e-5);
    flow.dispose();
  });

test("maximum likelihood reaches the entropy of a Gaussian", async ({ gpu }) => {
  const s = 0.5;
  const data = uniformArray(4000, -1, 1, 3).map((_, i, u) => {
    // Box–Muller on pairs of uniforms
    const [a, b] = [(u[i - (i % 2)] ?? 0) / 2 + 0.5, (u[i - (i % 2) + 1] ?? 0) / 2 + 0.5];
    const angle = 2 * Math.PI * b;
    return 1 + s * Math.sqrt(-2 * Math.log(Math.max(a, 1e-9))) * (i % 2 ? Math.sin(angle) : Math.cos(angle));
  });
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [16], activation: "tanh" }), seed: 1 });
  let last: pf.TrainingStep | undefined;
  const steps = 250;
  for await (const step of pf.trainMaximumLikelihood(flow, data, {
    steps,
    batchSize: 128,
    solver: { method: "midpoint", steps: 4 },
    learningRate: (k) => 2e-2 * (1 - k / steps),
    logEvery: 125,
  }))
    last = step;
  // the samples' own Gaussian is the best that a Gaussian can do: its mean negative log-likelihood is its entropy
  const entropy = 0.5 * Math.log(2 * Math.PI * Math.E * variance);
  expect(last?.step).toBe(steps);
  expect(Math.abs((last?.loss ?? Number.NaN) - entropy)).toBeLessThan(0.03);
  flow.dispose();
});

test("maximum likelihood with probes, labels and a moving average trains to the same bits twice", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [8], classes: 2, context: 1 });
  const data = pf.toyData("moons", 500);
  const labels = Uint32Array.from({ length: 500 }, (_, i) => i % 2);
  const context = Float32Array.from({ length: 500 }, (_, i) => i / 500);
  const results: Record<string, Float32Array>[] = [];
  for (const seed of [1, 1, 2]) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    const training = pf.trainMaximumLikelihood(flow, data, {
      steps: 6,
      batchSize: 65,
      seed,
      labels,
      context,
      ema: 0.9,
      gradientClip: 1,
      solver: { method: "heun2", steps: 2 },
      divergence: { probe: "rademacher" },
    });
    for await (const { loss } of training) expect(Number.isFinite(loss)).toBe(true);
    results.push(await flow.weights());
    flow.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).not.toEqual(results[0]);
});

test("what maximum likelihood cannot do is told at the call", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }) });
  const data = new Float32Array(20);
  const start = (options: object) => () => pf.trainMaximumLikelihood(flow, data, { steps: 1, ...options });
  expect(start({ divergence: { probe: "gaussian", vectors: new Float32Array(20) } })).toThrow("draws its own probes");
  expect(start({ solver: { method: "dopri5" } })).toThrow("dopri5");
  expect(start({ coupling: "optimal-transport" })).toThrow("coupling");
  await expect(pf.likelihoodGradients(flow, new Float32Array(0))).rejects.toThrow("empty");
  await expect(pf.likelihoodGradients(flow, new Float32Array(3))).rejects.toThrow("multiple of 2");
  flow.dispose();
});
