import * as pf from "pushforward";
import { affine, type ClosedForm, eightGaussians, gaussian, linear, rotation, shear } from "../oracle/fields.ts";
import { network } from "../oracle/mlp.ts";
import { guided, networkField } from "../oracle/network-field.ts";
import {
  logLikelihoodRows,
  type Method,
  push as oraclePush,
  pushRows,
  standardLogDensity,
  timesOf,
} from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, uniformArray } from "./inputs.ts";

const methods = ["euler", "midpoint", "heun2", "rk4"] as const;
const tolerance = { relative: 1e-5, absolute: 1e-5 };

function flowOf(gpu: pf.Gpu, field: ClosedForm, options: Partial<pf.FlowOptions> = {}): pf.Flow {
  return pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: field.dim, code: field.wgsl ?? "" }), ...options });
}

const closedForms: [string, ClosedForm][] = [
  ["Gaussian to Gaussian", gaussian([1, -2], 0.5)],
  ["eight Gaussians", eightGaussians],
  ["linear field in three dimensions", linear(3, 0.7)],
  ["rotation", rotation(Math.PI)],
  ["shear", shear(1.5)],
  [
    "affine field",
    affine(
      [
        [0.3, 0.8],
        [-0.5, -0.2],
      ],
      [0.1, -0.4],
    ),
  ],
];

for (const [name, field] of closedForms) {
  test(`${name}: every solver gives the oracle's states and log-probabilities, there and back`, async ({ gpu }) => {
    const n = 65;
    const x = uniformArray(n * field.dim, -2, 2, 1);
    const flow = flowOf(gpu, field);
    for (const method of methods) {
      const solver = { method, steps: 10 };
      const start = forRows(n, (i) => standardLogDensity(rowOf(x, field.dim, i)));
      const wanted = pushRows(field, x, method, timesOf(0, 1, 10), start);
      const got = await flow.push(x, { solver, logProb: true });
      // steep regions of the eight Gaussians enlarge the rounding of f32 about tenfold
      const steep = field === eightGaussians ? 1e-4 : 1e-5;
      expectClose(got.x, wanted.x, { relative: steep, absolute: steep });
      expectClose(got.logProb ?? [], wanted.logProb, { relative: steep, absolute: steep });
      expect(got.nfe).toBe(10 * { euler: 1, midpoint: 2, heun2: 2, rk4: 4 }[method]);
      expect(got.nonFinite).toBe(0);
      const likelihood = await flow.logProb(x, { solver });
      const back = logLikelihoodRows(field, x, method, timesOf(1, 0, 10));
      expectClose(likelihood.logProb, back.logProb, { relative: steep, absolute: 10 * steep });
      expectClose(likelihood.x0, back.x0, { relative: steep, absolute: 10 * steep });
    }
    flow.dispose();
  });
}

test("known digits: eight Gaussians from (0.5, 0.2) in ten steps, forward and backward", async ({ gpu }) => {
  const flow = flowOf(gpu, eightGaussians);
  const forward = {
    euler: [2.1606628761, 0.734600033, -5.6635658429],
    midpoint: [2.2886910404, 0.675591415, -4.9004628392],
    heun2: [2.2820387362, 0.6822099142, -4.9461472094],
    rk4: [2.2968398324, 0.6552856944, -4.6763002608],
  };
  const backward = { euler: -4.4887018963, midpoint: -4.7170882139, heun2: -4.6044372229, rk4: -4.6610538051 };
  for (const method of methods) {
    const solver = { method, steps: 10 };
    const { x, logProb } = await flow.push(Float32Array.of(0.5, 0.2), { solver, logProb: true });
    expectClose([...x, ...(logProb ?? [])], forward[method], { relative: 3e-5 });
    const likelihood = await flow.logProb(Float32Array.of(2.2974346027, 0.6540275473), { solver });
    expectClose(likelihood.logProb, [backward[method]], { relative: 3e-5 });
  }
  flow.dispose();
});

test("orders of convergence on the eight Gaussians: 1, 2, 2 and 4", async ({ gpu }) => {
  const flow = flowOf(gpu, eightGaussians);
  const start = Float32Array.of(0.5, 0.2);
  const exact = { x: [2.2974346027, 0.6540275473], logProb: -4.6694354937 };
  // the fourth order drowns in f32 beyond 32 steps, so it is measured at few, where its band is wider
  const cases = {
    euler: [64, 128, 1, 0.15],
    midpoint: [64, 128, 2, 0.2],
    heun2: [64, 128, 2, 0.2],
    rk4: [16, 32, 4, 0.6],
  } as const;
  for (const [method, [few, many, order, band]] of Object.entries(cases)) {
    const errorAt = async (steps: number) => {
      const { x, logProb } = await flow.push(start, {
        solver: { method: method as Method & "euler", steps },
        logProb: true,
      });
      return [
        Math.hypot((x[0] ?? 0) - (exact.x[0] ?? 0), (x[1] ?? 0) - (exact.x[1] ?? 0)),
        Math.abs((logProb?.[0] ?? 0) - exact.logProb),
      ];
    };
    const [coarse, fine] = [await errorAt(few), await errorAt(many)];
    for (const i of [0, 1])
      expect(Math.abs(Math.log2((coarse[i] ?? 0) / (fine[i] ?? 1)) - order), `${method} ${i}`).toBeLessThan(band);
  }
  flow.dispose();
});

test("divergence-free fields leave log p unchanged to the bit", async ({ gpu }) => {
  for (const field of [rotation(2), shear(0.7)]) {
    const flow = flowOf(gpu, field);
    const logProb = uniformArray(33, -5, 0, 3);
    const got = await flow.push(uniformArray(66, -2, 2, 1), { solver: { method: "rk4", steps: 7 }, logProb });
    expect(got.logProb).toEqual(logProb);
    flow.dispose();
  }
});

test("a linear field lowers log p by a·d·Δt under every solver and step count", async ({ gpu }) => {
  const flow = flowOf(gpu, linear(3, 0.7));
  for (const method of methods) {
    for (const steps of [1, 7]) {
      const { logProb } = await flow.push(Float32Array.of(1, 2, 3), {
        solver: { method, steps },
        logProb: Float32Array.of(0),
        to: 0.5,
      });
      expectClose(logProb ?? [], [-0.7 * 3 * 0.5], { relative: 1e-6 });
    }
  }
  flow.dispose();
});

/** With the number of particles, where it is not one more than a workgroup holds. */
const networks: [string, pf.MlpOptions, number?][] = [
  ["fused", { dim: 2, hidden: [12, 9], activation: "tanh" }],
  ["fused, dim 5, Fourier time", { dim: 5, hidden: [13], time: { fourier: 2 } }],
  ["layered", { dim: 2, hidden: [140] }],
  // on lavapipe in one kernel with windows of weights, and layer by layer beside log p
  ["128 wide", { dim: 2, hidden: [128, 128, 128] }, 33],
  ["up to 120 wide, dim 5", { dim: 5, hidden: [120, 97, 113, 90], activation: "tanh" }, 9],
  ["128 wide, Fourier time", { dim: 3, hidden: [128, 101], time: { fourier: 2 } }, 9],
  ["one layer of 128", { dim: 3, hidden: [128] }, 9],
  ["128 wide, time first", { dim: 2, hidden: [100, 128], inputOrder: "t,x" }, 9],
  ["128 wide, conditional", { dim: 2, hidden: [128, 90], classes: 3, context: 1 }, 9],
  ["layered, dim 64", { dim: 64, hidden: [48] }, 9],
  ["fused, conditional", { dim: 2, hidden: [13], classes: 3, context: 1 }],
  ["layered, conditional", { dim: 2, hidden: [140], classes: 3, context: 1 }],
];

for (const [name, options, n = 65] of networks) {
  test(`trajectories of a network agree with the oracle: ${name}`, async ({ gpu }) => {
    const { dim } = options;
    const velocity = pf.mlp(options);
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const net = network(velocity, await flow.weights());
    // on lavapipe an mlp of this width without conditions has a kernel of its own when it has been solved this often
    const isWide = options.hidden.some((width) => width > 80 && width <= 128);
    if (isWide && !options.classes) await flow.sample(2000, { solver: { method: "euler", steps: 100 } });
    const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
    const x = uniformArray(n * dim, -2, 2, 1);
    const start = forRows(n, (i) => standardLogDensity(rowOf(x, dim, i)));
    for (const method of ["midpoint", "rk4"] as const) {
      const solver = { method, steps: 3 };
      const wanted = pushRows((i) => networkField(net, "exact", conditionOf(i)), x, method, timesOf(0, 1, 3), start);
      const got = await flow.push(x, { ...given, solver, logProb: true, divergence: "exact" });
      expectClose(got.x, wanted.x, tolerance);
      expectClose(got.logProb ?? [], wanted.logProb, tolerance);
      const plain = await flow.push(x, { ...given, solver });
      // asking for log p leaves x unchanged
      expect(plain.x).toEqual(got.x);
    }
    if (velocity.classes > 0) {
      const solver = { method: "midpoint", steps: 3 } as const;
      const wanted = pushRows((i) => guided(net, conditionOf(i), 2.5), x, "midpoint", timesOf(0, 1, 3), start);
      const got = await flow.push(x, { ...given, solver, guidance: 2.5, logProb: true, divergence: "exact" });
      expectClose(got.x, wanted.x, tolerance);
      expectClose(got.logProb ?? [], wanted.logProb, tolerance);
      const unguided = await flow.push(x, { ...given, solver });
      expect((await flow.push(x, { ...given, solver, guidance: 1 })).x).toEqual(unguided.x);
      const { context } = { context: undefined, ...given };
      const unconditional = await flow.push(x, { ...(context && { context }), solver });
      expect((await flow.push(x, { ...given, solver, guidance: 0 })).x).toEqual(unconditional.x);
    }
    flow.dispose();
  });
}

test("log p with K frozen probes is the mean of K single-probe runs, and its standard error is theirs", async ({
  gpu,
}) => {
  const n = 33;
  for (const hidden of [[16], [140]]) {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden }), seed: 3 });
    const x = uniformArray(n * 3, -1, 1, 1);
    const vectors = uniformArray(3 * n * 3, -1, 1, 2);
    const solver = { method: "midpoint", steps: 4 } as const;
    const all = await flow.logProb(x, { solver, divergence: { probe: "gaussian", vectors } });
    const single: Float32Array[] = [];
    for (let k = 0; k < 3; k++) {
      const one = vectors.subarray(k * n * 3, (k + 1) * n * 3);
      single.push((await flow.logProb(x, { solver, divergence: { probe: "gaussian", vectors: one } })).logProb);
    }
    const of = (i: number) => single.map((values) => values[i] ?? Number.NaN);
    const mean = forRows(n, (i) => of(i).reduce((sum, value) => sum + value, 0) / 3);
    expectClose(all.logProb, mean, { relative: 1e-6, absolute: 1e-6 });
    const error = forRows(n, (i) =>
      Math.sqrt(of(i).reduce((sum, value) => sum + (value - (mean[i] ?? 0)) ** 2, 0) / 2 / 3),
    );
    expectClose(all.standardError ?? [], error, { relative: 1e-3, absolute: 1e-6 });
    flow.dispose();
  }
});

test("normalization shifts and scales samples, and lowers log p by the sum of log scales", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [16] });
  const plain = pf.Flow.create(gpu, { velocity, seed: 1 });
  const scaled = pf.Flow.create(gpu, { velocity, seed: 1, normalization: { mean: [5, -3], scale: [2, 0.5] } });
  const options = { solver: { method: "midpoint", steps: 5 }, logProb: true } as const;
  const a = await plain.sample(65, options);
  const b = await scaled.sample(65, options);
  expectClose(
    b.x,
    a.x.map((value, i) => (i % 2 === 0 ? 5 + 2 * value : -3 + 0.5 * value)),
    { relative: 1e-6, absolute: 1e-6 },
  );
  // log 2 + log 0.5 = 0
  expectClose(b.logProb ?? [], a.logProb ?? [], { relative: 1e-6, absolute: 1e-6 });
  const wide = pf.Flow.create(gpu, { velocity, seed: 1, normalization: { mean: [0, 0], scale: [3, 3] } });
  const c = await wide.logProb(
    a.x.map((value) => 3 * value),
    { solver: options.solver },
  );
  const d = await plain.logProb(a.x, { solver: options.solver });
  expectClose(
    c.logProb,
    d.logProb.map((value) => value - 2 * Math.log(3)),
    { relative: 1e-5, absolute: 1e-5 },
  );
  for (const flow of [plain, scaled, wide]) flow.dispose();
});

test("the density of a flow integrates to one", async ({ gpu }) => {
  const flow = flowOf(gpu, gaussian([1, -2], 0.5));
  const cells = 81;
  const side = 6;
  const grid = new Float32Array(cells * cells * 2);
  for (let i = 0; i < cells; i++) {
    for (let j = 0; j < cells; j++) {
      grid[2 * (i * cells + j)] = 1 + side * (i / (cells - 1) - 0.5);
      grid[2 * (i * cells + j) + 1] = -2 + side * (j / (cells - 1) - 0.5);
    }
  }
  const { logProb } = await flow.logProb(grid, { solver: { method: "midpoint", steps: 40 } });
  const mass = logProb.reduce((sum, l) => sum + Math.exp(l), 0) * (side / (cells - 1)) ** 2;
  expect(Math.abs(mass - 1)).toBeLessThan(1e-3);
  flow.dispose();
});

test("sources: samples have the asked-for mean, spread and bounds, and their own log-density", async ({ gpu }) => {
  const velocity = pf.wgslVelocity({
    dim: 2,
    code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(0.0, 0.0); }
           fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
  });
  const n = 20001;
  const solver = { method: "euler", steps: 1 } as const;
  const normal = pf.Flow.create(gpu, { velocity, source: { distribution: "gaussian", mean: [1, -1], std: [2, 0.5] } });
  const { x, logProb = new Float32Array(0) } = await normal.sample(n, { solver, logProb: true, seed: 3 });
  for (const [axis, mean, std] of [
    [0, 1, 2],
    [1, -1, 0.5],
  ] as const) {
    const column = Float64Array.from({ length: n }, (_, i) => x[2 * i + axis] ?? 0);
    const average = column.reduce((sum, value) => sum + value, 0) / n;
    expect(Math.abs(average - mean)).toBeLessThan((4 * std) / Math.sqrt(n));
    const variance = column.reduce((sum, value) => sum + (value - average) ** 2, 0) / n;
    expect(Math.abs(variance / std ** 2 - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
  }
  const density = forRows(n, (i) => {
    const a = ((x[2 * i] ?? 0) - 1) / 2;
    const b = ((x[2 * i + 1] ?? 0) + 1) / 0.5;
    return -0.5 * (a * a + b * b) - Math.log(2 * Math.PI);
  });
  expectClose(logProb, density, { relative: 1e-5, absolute: 1e-5 });
  const box = pf.Flow.create(gpu, { velocity, source: { distribution: "uniform", low: [0, -1], high: [2, 3] } });
  const uniform = await box.sample(n, { solver, logProb: true });
  expect(uniform.x.every((value, i) => (i % 2 === 0 ? value >= 0 && value <= 2 : value >= -1 && value <= 3))).toBe(
    true,
  );
  expectClose(uniform.logProb ?? [], new Float32Array(n).fill(-Math.log(8)), { relative: 1e-6 });
  const outside = await box.logProb(Float32Array.of(5, 0), { solver });
  expect(outside.logProb[0]).toBe(Number.NEGATIVE_INFINITY);
  for (const flow of [normal, box]) flow.dispose();
});

test("saved states are those of the oracle at the asked-for times, with their log p", async ({ gpu }) => {
  const field = eightGaussians;
  const flow = flowOf(gpu, field);
  const x = uniformArray(10, -1, 1, 1);
  const got = await flow.push(x, { solver: { method: "midpoint", steps: 10 }, saveAt: [0, 0.3, 1], logProb: true });
  expect([...(got.times ?? [])]).toEqual([0, 0.3, 1]);
  for (let i = 0; i < 5; i++) {
    const wanted = oraclePush(field, rowOf(x, 2, i), "midpoint", timesOf(0, 1, 10), standardLogDensity(rowOf(x, 2, i)));
    for (const [k, step] of [0, 3, 10].entries()) {
      expectClose(got.saved?.subarray((k * 5 + i) * 2, (k * 5 + i) * 2 + 2) ?? [], wanted.states[step] ?? [], {
        relative: 1e-4,
        absolute: 1e-4,
      });
      expectClose([got.savedLogProb?.[k * 5 + i] ?? 0], [wanted.logProbs[step] ?? 0], {
        relative: 1e-4,
        absolute: 1e-4,
      });
    }
  }
  expect(got.saved?.slice(20)).toEqual(got.x);
  flow.dispose();
});

for (const [name, velocity] of Object.entries({
  fused: pf.mlp({ dim: 2, hidden: [9], classes: 3, context: 2 }),
  "layer by layer": pf.mlp({ dim: 2, hidden: [131], classes: 3, context: 2 }),
  "a residual network": pf.residualMlp({ dim: 2, width: 8, blocks: 1, classes: 3, context: 2 }),
}))
  test(`one label and one row of context go for all particles, with the bits of as many: ${name}`, async ({ gpu }) => {
    using flow = pf.Flow.create(gpu, { velocity, seed: 4 });
    const n = 67;
    const one = { labels: Uint32Array.of(2), context: Float32Array.of(0.4, -1) };
    const each = {
      labels: new Uint32Array(n).fill(2),
      context: Float32Array.from({ length: 2 * n }, (_, k) => one.context[k % 2] ?? 0),
    };
    const solver = { method: "midpoint", steps: 2 } as const;
    const x = uniformArray(2 * n, -1, 1, 3);
    for (const call of [
      (given: typeof one) => flow.sample(n, { ...given, solver, seed: 1, logProb: true, guidance: 1.5 }),
      (given: typeof one) => flow.sample(n, { ...given, solver, seed: 1, chunkSize: 16 }),
      (given: typeof one) => flow.push(x, { ...given, solver: { method: "dopri5", rtol: 1e-3 } }),
      (given: typeof one) => flow.logProb(x, { ...given, solver }),
      (given: typeof one) => flow.velocity(x, 0.3, given),
      (given: typeof one) => flow.vjp(x, 0.3, x, given),
      (given: typeof one) => pf.logProbGradient(flow, x, { ...given, solver, chunkSize: 40 }),
    ] as const)
      expect(await call(one)).toEqual(await call(each));
    for (const wrong of [
      { ...one, labels: Uint32Array.of(2, 1) },
      { ...one, context: Float32Array.of(1) },
    ])
      await expect(flow.sample(n, { ...wrong, solver })).rejects.toThrow(/for all/);
    await expect(pf.likelihoodGradients(flow, x, one)).rejects.toThrow(/67 particles need a Uint32Array of 67$/);
  });
