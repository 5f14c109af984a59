import * as pf from "pushforward";
import { timeGrid } from "../../src/ode/grid.ts";
import { seedKey } from "../../src/random/philox.ts";
import { jittered } from "../../src/train/jitter.ts";
import { gaussianMixture } from "../oracle/densities.ts";
import { centralDifferences, gradientError, weightDifferences } from "../oracle/differences.ts";
import {
  type Differentiable,
  determinant,
  differentiableNetwork,
  discreteLogLikelihood,
  discreteLoss,
  tangentBelow,
} from "../oracle/discrete.ts";
import { eightGaussians } from "../oracle/fields.ts";
import { network } from "../oracle/mlp.ts";
import { type NetworkSpec, type NetworkWeights, networkAt, weightDerivative } from "../oracle/network.ts";
import { type Method, standardLogDensity, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { asGpu, conditionsFor, forRows, rowOf, strengthen, uniformArray } from "./inputs.ts";

interface Case {
  velocity: pf.MlpOptions;
  n: number;
  method?: Method & pf.Solver["method"];
  steps?: number;
  source?: { mean: number[]; std: number[] };
  kineticEnergy?: number;
}

/** Ralston's method of third order, as a caller writes a tableau. */
const ralston3 = { a: [[], [1 / 2], [0, 3 / 4]], b: [2 / 9, 1 / 3, 4 / 9], c: [0, 1 / 2, 3 / 4] };

const cases: Record<string, Case> = {
  "two dimensions, midpoint": { velocity: { dim: 2, hidden: [8, 5] }, n: 37 },
  "one dimension, euler": { velocity: { dim: 1, hidden: [9], activation: "tanh" }, n: 65, method: "euler", steps: 3 },
  "three dimensions, a tableau of one's own, time first": {
    velocity: { dim: 3, hidden: [7], inputOrder: "t,x" },
    n: 9,
    method: ralston3,
  },
  "rk4, layer by layer": { velocity: { dim: 2, hidden: [130] }, n: 5, method: "rk4", steps: 1 },
  "three dimensions, layer by layer": { velocity: { dim: 3, hidden: [130] }, n: 5, steps: 1, kineticEnergy: 0.7 },
  "Fourier time, classes, context and another source": {
    velocity: { dim: 2, hidden: [6], time: { fourier: 2 }, classes: 3, context: 2 },
    n: 19,
    source: { mean: [0.3, -1], std: [0.7, 2] },
  },
  "kinetic energy, heun2": { velocity: { dim: 2, hidden: [7] }, n: 19, method: "heun2", kineticEnergy: 0.8 },
};

/** Log p, loss and gradient of the steps, beside those in f64. */
async function expectSteps(
  gpu: pf.Gpu,
  { velocity: options, n, method = "midpoint", steps = 2, source, kineticEnergy }: Case,
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
  const conditions = conditionsFor(velocity, n, 4);
  const solver = { method, steps } as pf.Solver;
  const common = { solver, objective: "discrete", ...conditions.options } as const;
  const times = timesOf(1, 0, steps);
  const net = network(velocity, weights);
  const density = source && gaussianMixture([source.mean], [source.std], [1]).logDensity;
  const wanted = Array.from({ length: n }, (_, i) =>
    discreteLogLikelihood(
      differentiableNetwork(net, conditions.conditionOf(i)),
      rowOf(x, dim, i),
      method,
      times,
      density,
    ),
  );
  const scored = await flow.logProb(x, common);
  expectClose(
    scored.logProb,
    wanted.map(({ logProb }) => logProb),
    { relative: 1e-5, absolute: 1e-5 },
  );
  expectClose(
    scored.x0,
    forRows(n, (i) => wanted[i]?.x0 ?? []),
    { relative: 1e-5, absolute: 1e-5 },
  );
  const got = await pf.likelihoodGradients(flow, x, {
    ...common,
    ...(kineticEnergy && { regularization: { kineticEnergy } }),
  });
  const loss = (given: Record<string, ArrayLike<number>>) =>
    discreteLoss(network(velocity, given), x, {
      method,
      times,
      conditionOf: conditions.conditionOf,
      ...(density && { source: density }),
      ...(kineticEnergy && { kineticEnergy }),
    });
  expectClose([got.loss], [loss(weights)], { relative: 1e-5 });
  expect(gradientError(got.gradients, weightDifferences(loss, weights))).toBeLessThan(1e-4);
  flow.dispose();
}

for (const [name, given] of Object.entries(cases)) {
  test(`log p of the steps themselves, its loss and its gradient agree with f64: ${name}`, ({ gpu }) =>
    expectSteps(gpu, given));
  if (given.method !== undefined && given.method !== "euler" && !name.endsWith("layer by layer"))
    test(`on a GPU's tiles log p of the steps themselves, its loss and its gradient agree with f64: ${name}`, async () => {
      using gpu = await asGpu();
      await expectSteps(gpu, given);
    });
}

for (const { dim, method, seed, strength } of [
  { dim: 1, method: "euler", seed: 7, strength: 2.5 },
  { dim: 2, method: "midpoint", seed: 3, strength: 2.5 },
  { dim: 3, method: "heun2", seed: 7, strength: 3.5 },
] as const)
  test(`steps that fold have the loss and the gradient of the logarithm's tangent, as in f64: dim ${dim}, ${method}`, async ({
    gpu,
  }) => {
    const velocity = pf.mlp({ dim, hidden: [7] });
    const flow = pf.Flow.create(gpu, { velocity, seed });
    const weights = Object.fromEntries(
      Object.entries(await strengthen(flow)).map(([key, values]) => [key, values.map((w) => strength * w)]),
    );
    flow.setWeights(weights);
    const n = 21;
    const x = uniformArray(n * dim, -1.5, 1.5, 1);
    const times = timesOf(1, 0, 2);
    const least = 0.4;
    const determinants: number[] = [];
    const kept = (matrix: readonly ArrayLike<number>[]) => {
      determinants.push(determinant(matrix));
      return tangentBelow(least)(matrix);
    };
    const loss = (given: Record<string, ArrayLike<number>>) =>
      discreteLoss(network(velocity, given), x, { method, times, logDeterminant: kept });
    const wanted = loss(weights);
    // some fold, some shrink to less than the least, the others do neither
    const share = (low: number, high: number) => determinants.filter((value) => value > low && value <= high).length;
    expect(Math.min(share(-Infinity, 0), share(0, least), share(least, Infinity))).toBeGreaterThan(0);
    const given = { solver: { method, steps: 2 }, objective: "discrete", leastDeterminant: least } as const;
    const got = await pf.likelihoodGradients(flow, x, given);
    expectClose([got.loss], [wanted], { relative: 1e-5 });
    expect(gradientError(got.gradients, weightDifferences(loss, weights))).toBeLessThan(1e-4);
    // without it the signs are lost, as they are for log p
    const sizes = await pf.likelihoodGradients(flow, x, { ...given, leastDeterminant: 0 });
    const scored = await flow.meanLogProb(x, { solver: given.solver, objective: "discrete" });
    expectClose([sizes.loss], [-scored.mean], { relative: 1e-5 });
    flow.dispose();
  });

const networks = {
  residualMlp: () => pf.residualMlp({ dim: 2, width: 12, blocks: 1, classes: 3, context: 2 }),
  concatSquash: () => pf.concatSquash({ dim: 3, hidden: [9] }),
};

/** (1 − w) u_null + w u_label of any network, with its products. */
function guidedNetwork(
  spec: NetworkSpec,
  weights: NetworkWeights,
  given: Parameters<typeof networkAt>[5],
  w: number,
): Differentiable {
  const { label: _, ...none } = given ?? {};
  const zero = new Float64Array(spec.dim);
  const mixed = (key: "velocity" | "product", t: number, x: ArrayLike<number>, v: ArrayLike<number>) => {
    const [a, b] = [none, given].map((condition) => networkAt(spec, weights, t, x, v, condition)[key]);
    return Float64Array.from(a ?? [], (value, i) => (1 - w) * value + w * (b?.[i] ?? Number.NaN));
  };
  return {
    dim: spec.dim,
    velocity: (t, x) => mixed("velocity", t, x, zero),
    product: (t, x, v) => mixed("product", t, x, v),
  };
}

async function expectNetwork(gpu: pf.Gpu, velocity: pf.NetworkVelocity, guidance: number): Promise<void> {
  const { dim, classes } = velocity;
  const spec = velocity as unknown as NetworkSpec;
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const weights = await strengthen(flow);
  const n = 9;
  const steps = 2;
  const x = uniformArray(n * dim, -1, 1, 1);
  const { options, conditionOf } = conditionsFor(velocity, n, 4);
  const given = { solver: { method: "midpoint", steps }, objective: "discrete", ...options } as const;
  const wanted = (of: NetworkWeights, i: number, w: number) =>
    discreteLogLikelihood(
      guidedNetwork(spec, of, conditionOf(i), w),
      rowOf(x, dim, i),
      "midpoint",
      timesOf(1, 0, steps),
    ).logProb;
  const guided = await flow.logProb(x, { ...given, ...(classes > 0 && { guidance }) });
  const all = forRows(n, (i) => wanted(weights, i, classes > 0 ? guidance : 1));
  expectClose(guided.logProb, all, { relative: 1e-5, absolute: 1e-5 * Math.max(1, ...all.map(Math.abs)) });
  const loss = (of: NetworkWeights) => -forRows(n, (i) => wanted(of, i, 1)).reduce((a, b) => a + b) / n;
  // the steps of these strengthened weights shrink some rows a great deal
  const { loss: value, gradients } = await pf.likelihoodGradients(flow, x, { ...given, leastDeterminant: 0 });
  expectClose([value], [loss(weights)], { relative: 1e-5 });
  const largest = Math.max(...Object.values(gradients).flatMap((values) => [...values].map(Math.abs)));
  const chosen = Object.entries(weights).map(([name, values]) => [name, Math.floor(values.length / 2)] as const);
  expectClose(
    chosen.map(([name, index]) => gradients[name]?.[index] ?? Number.NaN),
    chosen.map(([name, index]) => weightDerivative(weights, name, index, loss)),
    { relative: 1e-4, absolute: 1e-4 * largest },
  );
  flow.dispose();
}

for (const [name, make] of Object.entries(networks)) {
  test(`log p of the steps of any network and its gradient agree with f64: ${name}`, ({ gpu }) =>
    expectNetwork(gpu, make(), 1.5));
  test(`log p of the steps of any network and its gradient agree with f64: ${name}, gradients on a GPU's tiles`, async () => {
    using gpu = await asGpu();
    await expectNetwork(gpu, make(), 1.5);
  });
}
test("log p of the steps of any network and its gradient agree with f64: two residual blocks, gradients on a GPU's tiles", async () => {
  using gpu = await asGpu();
  await expectNetwork(gpu, pf.residualMlp({ dim: 2, width: 6, blocks: 2 }), 1);
});
test("log p of the steps of any network and its gradient agree with f64: residualMlp, layer by layer", ({ gpu }) =>
  expectNetwork(gpu, pf.residualMlp({ dim: 2, width: 132, blocks: 1, classes: 3, context: 2 }), 1.5));
test("log p of the steps agrees with f64: an mlp on a GPU's tiles", async () => {
  using gpu = await asGpu();
  const velocity = pf.mlp({ dim: 3, hidden: [5, 9] });
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const net = network(velocity, await strengthen(flow));
  const x = uniformArray(3 * 37, -1, 1, 1);
  const { logProb } = await flow.logProb(x, { solver: { method: "heun2", steps: 2 }, objective: "discrete" });
  const field = differentiableNetwork(net);
  const wanted = forRows(37, (i) => discreteLogLikelihood(field, rowOf(x, 3, i), "heun2", timesOf(1, 0, 2)).logProb);
  expectClose(logProb, wanted, { relative: 1e-5, absolute: 1e-5 });
  flow.dispose();
});

/** A closed form as a field with products. */
const differentiable = ({ dim, velocity }: typeof eightGaussians): Differentiable => ({
  dim,
  velocity,
  product: (t, x, v) => {
    const along = (s: number) =>
      velocity(
        t,
        Array.from(x, (value, i) => value + s * (v[i] ?? 0)),
      );
    return forRows(dim, (k) => centralDifferences(([s = 0]) => along(s)[k] ?? Number.NaN, [0])[0] ?? Number.NaN);
  },
});

test("log p of the steps of a field in WGSL agrees with f64, forward with samples as backward from data", async ({
  gpu,
}) => {
  const { dim, wgsl = "" } = eightGaussians;
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim, code: wgsl }) });
  const n = 17;
  const x = uniformArray(n * dim, -1.5, 1.5, 1);
  const solver = { method: "rk4", steps: 4 } as const;
  const tolerance = { relative: 1e-4, absolute: 1e-4 };
  const field = differentiable(eightGaussians);
  const back = await flow.logProb(x, { solver, objective: "discrete" });
  expectClose(
    back.logProb,
    forRows(n, (i) => discreteLogLikelihood(field, rowOf(x, dim, i), "rk4", timesOf(1, 0, 4)).logProb),
    tolerance,
  );
  const there = await flow.push(x, { solver, objective: "discrete", logProb: true });
  expectClose(
    there.logProb ?? [],
    forRows(n, (i) => {
      const start = rowOf(x, dim, i);
      const sizes = discreteLogLikelihood(field, start, "rk4", timesOf(0, 1, 4), () => 0).logProb;
      return standardLogDensity(start) - sizes;
    }),
    tolerance,
  );
  flow.dispose();
});

test("the sign of a determinant is lost, a singular step has the density 0 and is counted", async ({ gpu }) => {
  const linear = (rate: number) =>
    pf.Flow.create(gpu, {
      velocity: pf.wgslVelocity({
        dim: 1,
        code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(${rate.toFixed(1)} * x[0]); }`,
      }),
    });
  const given = { solver: { method: "euler", steps: 2 }, objective: "discrete" } as const;
  // a step of −1/2 multiplies by 1 − rate/2
  for (const [rate, factor] of [
    [6, -2],
    [1, 0.5],
    [-0.5, 1.25],
  ] as const) {
    // biome-ignore format: pairs
    const flow = linear(rate);
    const { logProb } = await flow.logProb(Float32Array.of(0.5), given);
    const end = 0.5 * factor * factor;
    expectClose(logProb, [standardLogDensity([end]) + 2 * Math.log(Math.abs(factor))], { relative: 1e-6 });
    flow.dispose();
  }
  const singular = linear(2);
  const scored = await singular.logProb(Float32Array.of(0.5, 1), given);
  expect([...scored.logProb]).toEqual([-Infinity, -Infinity]);
  expect(scored.nonFinite).toBe(2);
  const mean = await singular.meanLogProb(Float32Array.of(0.5, 1), given);
  expect(mean.nonFinite).toBe(2);
  singular.dispose();
});

test("with many steps log p of the steps is that of the flow", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8], activation: "tanh" }), seed: 3 });
  await strengthen(flow);
  const x = uniformArray(2 * 21, -1.5, 1.5, 1);
  const gap = async (steps: number) => {
    const solver = { method: "midpoint", steps } as const;
    const discrete = await flow.logProb(x, { solver, objective: "discrete" });
    const { logProb } = await flow.logProb(x, { solver: { method: "rk4", steps: 20 } });
    return Math.max(...logProb.map((value, i) => Math.abs(value - (discrete.logProb[i] ?? Number.NaN))));
  };
  const [coarse, fine] = [await gap(4), await gap(64)];
  expect(fine).toBeLessThan(1e-3);
  expect(coarse).toBeGreaterThan(50 * fine);
  flow.dispose();
});

test("the density of a few steps has the mass 1, which the flow's own density by the same steps has not", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8], activation: "tanh" }), seed: 3 });
  await strengthen(flow);
  const mass = async (objective: pf.Objective) => {
    const solver = { method: "euler", steps: 3 } as const;
    const box: [number, number][] = [
      [-9, 9],
      [-9, 9],
    ];
    return (await flow.densityGrid({ box, cells: [120, 120], solver, objective })).mass;
  };
  expect(Math.abs((await mass("discrete")) - 1)).toBeLessThan(1e-5);
  expect(Math.abs((await mass("continuous")) - 1)).toBeGreaterThan(4e-3);
  flow.dispose();
});

test("what the objective of steps cannot be asked for is told with a way out", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }) });
  const deep = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 4, hidden: [8] }) });
  const objective = "discrete" as const;
  const x = new Float32Array(4);
  await expect(deep.logProb(x, { objective })).rejects.toThrow(/dim is 4, but objective "discrete" is for dim 1 to 3/);
  await expect(flow.logProb(x, { objective, solver: { method: "dopri5" } })).rejects.toThrow("solver is dopri5");
  const divergence = { probe: "rademacher" } as const;
  await expect(flow.logProb(x, { objective, precision: "f16" })).rejects.toThrow(/precision is "f16", but objective/);
  await expect(flow.logProb(x, { objective, divergence })).rejects.toThrow("leave objective out");
  await expect(flow.logProb(x, { objective: "discreet" as never })).rejects.toThrow('did you mean "discrete"?');
  const start = (options: object) => () => pf.trainMaximumLikelihood(flow, x, { steps: 1, objective, ...options });
  expect(start({ regularization: { jacobianFrobenius: 1 } })).toThrow("jacobianFrobenius");
  expect(start({ divergence })).toThrow("divergence is");
  expect(() => pf.trainMaximumLikelihood(deep, x, { steps: 1, objective })).toThrow("dim is 4");
  deep.dispose();
  flow.dispose();
});

for (const [name, velocity, o] of [
  ["the steps of an mlp", pf.mlp({ dim: 2, hidden: [7] }), { objective: "discrete", kineticEnergy: 0 }],
  [
    "the steps of a network",
    pf.residualMlp({ dim: 2, width: 8, blocks: 1 }),
    { objective: "discrete", kineticEnergy: 0.5 },
  ],
  ["the flow of an mlp", pf.mlp({ dim: 2, hidden: [7] }), { objective: "continuous", kineticEnergy: 0.5 }],
] as const)
  test(`a training whose times are drawn anew has at each step the loss and the gradient of its own grid: ${name}`, async ({
    gpu,
  }) => {
    const { objective, kineticEnergy } = o;
    const regularization = { ...(kineticEnergy > 0 && { kineticEnergy }) };
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    await strengthen(flow);
    const row = Float32Array.of(0.4, -0.7);
    const n = 3;
    const x = Float32Array.from({ length: 2 * n }, (_, i) => row[i % 2] ?? 0);
    const solver = { method: "heun2", steps: 3, warp: 1.5 } as const;
    const [beta, seed, jitter] = [0.5, 7, 0.4];
    const states: Uint8Array[] = [];
    const losses: number[] = [];
    // no step moves the weights, so that the first moment of Adam is the mean of the gradients
    for await (const { loss } of pf.trainMaximumLikelihood(flow, row, {
      steps: 3,
      batchSize: n,
      learningRate: 0,
      optimizer: { name: "adam", betas: [beta, 0.9] },
      seed,
      solver,
      jitter,
      objective,
      ...(kineticEnergy > 0 && { regularization }),
      logEvery: 1,
      checkpoint: { every: 1, save: (bytes) => void states.push(bytes) },
    }))
      losses.push(loss);
    let moment: Record<string, Float32Array> | undefined;
    for (const [step, loss] of losses.entries()) {
      const grid = jittered(timeGrid("a test", solver, 1, 0), jitter, step, seedKey(seed));
      const given = { solver: { method: "heun2" as const, times: [...grid.times] }, objective };
      const plain = await pf.likelihoodGradients(flow, x, given);
      expectClose([loss], [plain.loss], { relative: 1e-6 });
      const { gradients } = await pf.likelihoodGradients(flow, x, { ...given, regularization });
      moment = Object.fromEntries(
        Object.entries(gradients).map(([key, values]) => [
          key,
          values.map((value, i) => beta * (moment?.[key]?.[i] ?? 0) + (1 - beta) * value),
        ]),
      );
      const { tensors } = pf.decodeSafetensors(states[step] ?? new Uint8Array());
      const held = Object.fromEntries(
        Object.keys(gradients).map((key) => [key, tensors[`training.first.${key}`]?.data ?? []]),
      );
      expect(gradientError(held, moment)).toBeLessThan(1e-5);
    }
    expect(new Set(losses).size).toBe(3);
    flow.dispose();
  });

test("a warped grid is the same for samples, log p and validation, and a jitter needs one of steps", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [7] }), seed: 3 });
  await strengthen(flow);
  const solver = { method: "midpoint", steps: 4, warp: 2 } as const;
  // t = 1 − (1 − k/4)²
  const times = [0, 7 / 16, 3 / 4, 15 / 16, 1];
  const given = { method: "midpoint", times } as const;
  expect((await flow.sample(9, { solver })).x).toEqual((await flow.sample(9, { solver: given })).x);
  const x = uniformArray(18, -1, 1, 3);
  const back = { method: "midpoint", times: [...times].reverse() } as const;
  const scored = await flow.logProb(x, { solver, objective: "discrete" });
  expect(scored.logProb).toEqual((await flow.logProb(x, { solver: back, objective: "discrete" })).logProb);
  const mean = await flow.meanLogProb(x, { solver, objective: "discrete" });
  const training = pf.trainMaximumLikelihood(flow, x, {
    steps: 1,
    batchSize: 4,
    learningRate: 0,
    objective: "discrete",
    solver,
    jitter: 0.3,
    validation: { data: x },
  });
  for await (const { validationLoss } of training) expect(validationLoss).toBe(-mean.mean);
  const start = (o: object) => () => pf.trainMaximumLikelihood(flow, x, { steps: 1, ...o });
  expect(start({ solver: back, jitter: 0.3 })).toThrow("pass steps in their place");
  expect(start({ jitter: 0.5 })).toThrow("jitter is 0.5");
  expect(start({ objective: "discrete", leastDeterminant: 1 })).toThrow("leastDeterminant is 1");
  expect(start({ leastDeterminant: 0.1 })).toThrow('only objective "discrete" has determinants');
  await expect(flow.logProb(x, { solver: { ...back, warp: 2 } as never })).rejects.toThrow("both times and warp");
  flow.dispose();
});
