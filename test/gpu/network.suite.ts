import * as pf from "pushforward";
import { activationNames } from "../oracle/activations.ts";
import { microNetwork } from "../oracle/micro-network.ts";
import { divergence, evaluate, jvp, network, vjp } from "../oracle/mlp.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, generator, rowOf, uniformArray } from "./inputs.ts";

/** f32 against f64: 1e-5 relative, with the same share of the output's size for values near zero. */
const tolerance = { relative: 1e-5, absolute: 1e-5 };

/** The flow's answers for n random particles, and the oracle's network. */
async function setUp(gpu: pf.Gpu, options: pf.MlpOptions, n: number) {
  const velocity = pf.mlp(options);
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  // the output layer starts small: enlarge it, so that tolerances mean something, and give the biases values
  const weights = await flow.weights();
  const next = generator(5);
  const last = `net.${2 * options.hidden.length}.weight`;
  for (const [name, values] of Object.entries(weights)) {
    if (name === last) for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) * 10;
    if (name.endsWith("bias")) for (let i = 0; i < values.length; i++) values[i] = next() - 0.5;
  }
  flow.setWeights(weights);
  const { dim } = options;
  return {
    flow,
    net: network(velocity, weights),
    x: uniformArray(n * dim, -2, 2, 1),
    t: uniformArray(n, 0, 1, 2),
    v: uniformArray(n * dim, -1, 1, 3),
    ...conditionsFor(velocity, n, 4),
  };
}

for (const activation of activationNames) {
  test(`velocity, divergence, jvp and vjp agree with the f64 oracle: ${activation}`, async ({ gpu }) => {
    const n = 65;
    const { flow, net, x, t, v } = await setUp(gpu, { dim: 2, hidden: [12, 9], activation }, n);
    expectClose(
      await flow.velocity(x, t),
      forRows(n, (i) => evaluate(net, t[i] ?? 0, rowOf(x, 2, i)).velocity),
      tolerance,
    );
    expectClose(
      await flow.divergence(x, t),
      forRows(n, (i) => divergence(net, t[i] ?? 0, rowOf(x, 2, i), "exact")),
      tolerance,
    );
    const forward = await flow.jvp(x, t, v);
    expectClose(
      forward.jvp,
      forRows(n, (i) => jvp(net, t[i] ?? 0, rowOf(x, 2, i), rowOf(v, 2, i))),
      tolerance,
    );
    const backward = await flow.vjp(x, t, v);
    expectClose(
      backward.vjp,
      forRows(n, (i) => vjp(net, t[i] ?? 0, rowOf(x, 2, i), rowOf(v, 2, i))),
      tolerance,
    );
    expectClose(backward.velocity, forward.velocity, tolerance);
    flow.dispose();
  });

  test(`the micro-network has its known digits: ${activation}`, async ({ gpu }) => {
    const { spec, weights } = microNetwork(activation);
    const velocity = pf.mlp({ dim: spec.dim, hidden: [...spec.hidden], activation });
    const single = Object.fromEntries(
      Object.entries(weights).map(([name, values]) => [name, Float32Array.from(values)]),
    );
    const flow = pf.Flow.create(gpu, { velocity, weights: single });
    const net = network(velocity, weights);
    const x = Float32Array.of(0.3, -0.7);
    const vectors = Float32Array.of(1, 1, 1, -1);
    expectClose(await flow.velocity(x, 0.4), evaluate(net, 0.4, [0.3, -0.7]).velocity, {
      relative: 1e-5,
      absolute: 1e-6,
    });
    const exact = await flow.divergence(x, 0.4);
    expectClose(exact, [divergence(net, 0.4, [0.3, -0.7], "exact")], { relative: 1e-5, absolute: 1e-6 });
    // in two dimensions the mean over (1, 1) and (1, −1) is the trace
    const both = await flow.divergence(x, 0.4, { divergence: { probe: "rademacher", vectors } });
    expectClose(both, exact, { relative: 1e-5, absolute: 1e-6 });
    flow.dispose();
  });
}

const shapes: [string, pf.MlpOptions, number][] = [
  ["dim 1", { dim: 1, hidden: [9] }, 63],
  ["dim 3, time first", { dim: 3, hidden: [8, 8], inputOrder: "t,x" }, 64],
  ["dim 5, Fourier time", { dim: 5, hidden: [13], time: { fourier: 3 } }, 1],
  ["dim 16", { dim: 16, hidden: [32] }, 65],
  ["dim 64, layer by layer", { dim: 64, hidden: [40, 33] }, 65],
  ["no hidden layer", { dim: 3, hidden: [] }, 65],
  ["width 128, in one kernel on SwiftShader", { dim: 2, hidden: [128] }, 65],
  ["width 200, layer by layer, time first", { dim: 2, hidden: [200, 30], inputOrder: "t,x", time: { fourier: 2 } }, 65],
  ["classes and context", { dim: 2, hidden: [13], classes: 3, context: 2, inputOrder: "t,x" }, 65],
  ["classes and context, layer by layer", { dim: 2, hidden: [140], classes: 3, context: 2, time: { fourier: 2 } }, 65],
];

for (const [name, options, n] of shapes) {
  test(`velocity, exact divergence, jvp and vjp agree with the f64 oracle: ${name}`, async ({ gpu }) => {
    const { dim } = options;
    const { flow, net, x, t, v, options: given, conditionOf } = await setUp(gpu, options, n);
    const velocity = await flow.velocity(x, t, given);
    expectClose(
      velocity,
      forRows(n, (i) => evaluate(net, t[i] ?? 0, rowOf(x, dim, i), [], conditionOf(i)).velocity),
      tolerance,
    );
    const exact = await flow.divergence(x, t, { ...given, divergence: "exact" });
    expectClose(
      exact,
      forRows(n, (i) => divergence(net, t[i] ?? 0, rowOf(x, dim, i), "exact", conditionOf(i))),
      tolerance,
    );
    const forward = await flow.jvp(x, t, v, given);
    expectClose(
      forward.jvp,
      forRows(n, (i) => jvp(net, t[i] ?? 0, rowOf(x, dim, i), rowOf(v, dim, i), conditionOf(i))),
      tolerance,
    );
    const backward = await flow.vjp(x, t, v, given);
    expectClose(
      backward.vjp,
      forRows(n, (i) => vjp(net, t[i] ?? 0, rowOf(x, dim, i), rowOf(v, dim, i), conditionOf(i))),
      tolerance,
    );
    flow.dispose();
  });
}

test("Hutchinson's estimate with given vectors is the mean over the probes", async ({ gpu }) => {
  for (const options of [
    { dim: 3, hidden: [16] },
    { dim: 3, hidden: [140] },
  ]) {
    const n = 33;
    const { flow, net, x, t } = await setUp(gpu, options, n);
    for (const probes of [1, 2, 3]) {
      const vectors = uniformArray(probes * n * 3, -2, 2, 9);
      const got = await flow.divergence(x, t, { divergence: { probe: "gaussian", vectors } });
      const of = (i: number) =>
        Array.from({ length: probes }, (_, k) => vectors.subarray((k * n + i) * 3, (k * n + i + 1) * 3));
      expectClose(
        got,
        forRows(n, (i) => divergence(net, t[i] ?? 0, rowOf(x, 3, i), of(i))),
        { relative: 1e-5, absolute: 3e-5 },
      );
    }
    flow.dispose();
  }
});

test("Hutchinson's estimate is unbiased within three standard errors of its predicted variance", async ({ gpu }) => {
  const dim = 5;
  const n = 4001;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [16] }), seed: 7 });
  const weights = await flow.weights();
  for (const values of Object.values(weights)) for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) * 3;
  flow.setWeights(weights);
  const net = network(pf.mlp({ dim, hidden: [16] }), weights);
  const point = [0.3, -0.2, 0.5, 0.1, -0.4];
  const x = Float32Array.from({ length: n * dim }, (_, i) => point[i % dim] ?? 0);
  const exact = divergence(net, 0.4, point, "exact");
  const unit = (i: number) => Float64Array.from({ length: dim }, (_, j) => Number(i === j));
  const columns = Array.from({ length: dim }, (_, j) => jvp(net, 0.4, point, unit(j)));
  const symmetric = (i: number, j: number) => ((columns[j]?.[i] ?? 0) + (columns[i]?.[j] ?? 0)) / 2;
  for (const probe of ["rademacher", "gaussian"] as const) {
    let variance = 0;
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) if (i !== j || probe === "gaussian") variance += 2 * symmetric(i, j) ** 2;
    }
    const values = await flow.divergence(x, 0.4, { divergence: { probe }, seed: 11 });
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    expect(Math.abs(mean - exact)).toBeLessThan(3 * Math.sqrt(variance / n));
    const measured = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
    // the relative error of a variance from 4001 draws is about √(5/4001) = 3.5 %, of which this is three
    expect(Math.abs(measured / variance - 1)).toBeLessThan(0.11);
  }
  flow.dispose();
});

test("rademacher divergence in one dimension is exact", async ({ gpu }) => {
  const { flow, x, t } = await setUp(gpu, { dim: 1, hidden: [16] }, 65);
  const exact = await flow.divergence(x, t);
  expectClose(await flow.divergence(x, t, { divergence: { probe: "rademacher" } }), exact, {
    relative: 1e-6,
    absolute: 1e-6,
  });
  flow.dispose();
});

test("weights go in and out unchanged, and initial weights depend on the seed alone", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [16, 8] });
  const flow = pf.Flow.create(gpu, { velocity, seed: 5 });
  const weights = await flow.weights();
  expect(Object.keys(weights)).toEqual([
    "net.0.weight",
    "net.0.bias",
    "net.2.weight",
    "net.2.bias",
    "net.4.weight",
    "net.4.bias",
  ]);
  expect(flow.parameterCount).toBe(3 * 16 + 16 + 16 * 8 + 8 + 8 * 2 + 2);
  const again = pf.Flow.create(gpu, { velocity, seed: 5 });
  expect(await again.weights()).toEqual(weights);
  const other = pf.Flow.create(gpu, { velocity, seed: 6 });
  expect(await other.weights()).not.toEqual(weights);
  other.setWeights(weights);
  expect(await other.weights()).toEqual(weights);
  const x = uniformArray(10, -1, 1, 1);
  expect(await other.velocity(x, 0.5)).toEqual(await flow.velocity(x, 0.5));
  for (const each of [flow, again, other]) each.dispose();
});

test("a flow saved and loaded gives the same bits, and its file names the tensors as PyTorch does", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, {
    velocity: pf.mlp({ dim: 2, hidden: [16], activation: "tanh", time: { fourier: 2 } }),
    seed: 2,
    source: { distribution: "uniform", low: [-1, -2], high: [1, 2] },
    normalization: { mean: [1, 2], scale: [3, 4] },
  });
  const bytes = await flow.save();
  expect(Object.keys(pf.decodeSafetensors(bytes).tensors).sort()).toEqual([
    "net.0.bias",
    "net.0.weight",
    "net.2.bias",
    "net.2.weight",
  ]);
  const loaded = pf.Flow.load(gpu, bytes);
  const solver = { method: "midpoint", steps: 5 } as const;
  expect(await loaded.sample(33, { solver, seed: 4 })).toEqual(await flow.sample(33, { solver, seed: 4 }));
  expect(await loaded.save()).toEqual(bytes);
  for (const each of [flow, loaded]) each.dispose();
});
