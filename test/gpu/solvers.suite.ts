import * as pf from "pushforward";
import { gradientError } from "../oracle/differences.ts";
import { eightGaussians } from "../oracle/fields.ts";
import { likelihood } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { logLikelihoodRows, pushRows, standardLogDensity, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, uniformArray } from "./inputs.ts";

/** Six stages, order 5: those of Dormand & Prince without the one that estimates the error. */
const six: pf.Tableau = {
  a: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  ],
  b: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  c: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1],
};

/** `count` midpoint steps as one step of 2·count stages: sums of many stages can be checked against a solver of two. */
function midpointSteps(count: number): pf.Tableau {
  const b = Array.from({ length: 2 * count }, (_, i) => (i % 2 === 1 ? 1 / count : 0));
  const a = b.map((_, i) => [...b.slice(0, i - (i % 2)), ...(i % 2 === 1 ? [0.5 / count] : [])]);
  return { a, b, c: a.map((row) => row.reduce((sum, value) => sum + value, 0)) };
}

type FixedMethod = "heun3" | "ssprk3" | "rk4-3/8" | "butcher5" | pf.Tableau;

const methods: FixedMethod[] = ["heun3", "ssprk3", "rk4-3/8", "butcher5", six];

const fields: [string, pf.MlpVelocity | pf.WgslVelocity][] = [
  ["fused", pf.mlp({ dim: 2, hidden: [16, 16], time: { fourier: 2 } })],
  ["layered", pf.mlp({ dim: 3, hidden: [136] })],
  ["WGSL", pf.wgslVelocity({ dim: 2, code: eightGaussians.wgsl ?? "" })],
];

async function oracleOf(flow: pf.Flow) {
  const { velocitySpec } = flow;
  return velocitySpec.kind === "mlp" ? networkField(network(velocitySpec, await flow.weights())) : eightGaussians;
}

for (const [name, velocity] of fields) {
  test(`solvers of three to six stages agree with the oracle, there and back: ${name}`, async ({ gpu }) => {
    const { dim } = velocity;
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const field = await oracleOf(flow);
    const n = 37;
    const x = uniformArray(n * dim, -2, 2, 5);
    const start = forRows(n, (i) => standardLogDensity(rowOf(x, dim, i)));
    // steep regions of the eight Gaussians enlarge the rounding of f32 about tenfold
    const close = velocity.kind === "wgsl" ? 1e-4 : 1e-5;
    for (const method of methods) {
      const solver = { method, steps: 5 };
      const got = await flow.push(x, { solver, logProb: true });
      const wanted = pushRows(field, x, method, timesOf(0, 1, 5), start);
      expectClose(got.x, wanted.x, { relative: close, absolute: close });
      expectClose(got.logProb ?? [], wanted.logProb, { relative: close, absolute: close });
      const stages = typeof method === "string" ? { heun3: 3, ssprk3: 3, "rk4-3/8": 4, butcher5: 6 }[method] : 6;
      expect(got.nfe).toBe(5 * stages);
      const likelihood = await flow.logProb(x, { solver });
      const back = logLikelihoodRows(field, x, method, timesOf(1, 0, 5));
      expectClose(likelihood.logProb, back.logProb, { relative: close, absolute: 10 * close });
      expectClose(likelihood.x0, back.x0, { relative: close, absolute: 10 * close });
    }
    flow.dispose();
  });

  test(`four midpoint steps written as one tableau of eight stages are four midpoint steps: ${name}`, async ({
    gpu,
  }) => {
    const { dim } = velocity;
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const x = uniformArray(37 * dim, -2, 2, 5);
    const divergence = { probe: "rademacher", probes: 2 } as const;
    const own = { solver: { method: midpointSteps(4), steps: 3 }, logProb: true, divergence };
    const one = await flow.push(x, own);
    const many = await flow.push(x, { ...own, solver: { method: "midpoint", steps: 12 } });
    const close = velocity.kind === "wgsl" ? 1e-4 : 1e-5;
    expectClose(one.x, many.x, { relative: close, absolute: close });
    expectClose(one.logProb ?? [], many.logProb ?? [], { relative: close, absolute: close });
    // an explicit grid takes a tableau, too, and so do chunks
    const times = [0, 1 / 3, 2 / 3, 1];
    const cut = await flow.push(x, { ...own, solver: { method: midpointSteps(4), times }, chunkSize: 17 });
    expect(cut.x).toEqual(one.x);
    expect(cut.logProb).toEqual(one.logProb);
    flow.dispose();
  });
}

test("the most stages that a tableau may have run in both kinds of kernels, with classes and guidance", async ({
  gpu,
}) => {
  const spec = { dim: 2, hidden: [16], classes: 3, context: 2 };
  for (const hidden of [[16], [136]]) {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ ...spec, hidden }), seed: 5 });
    const n = 21;
    const x = uniformArray(2 * n, -2, 2, 8);
    const call = { ...conditionsFor(spec, n, 3).options, guidance: 1.5, divergence: "exact" } as const;
    const one = await flow.logProb(x, { ...call, solver: { method: midpointSteps(8), steps: 1 } });
    const many = await flow.logProb(x, { ...call, solver: { method: "midpoint", steps: 8 } });
    expectClose(one.x0, many.x0, { relative: 1e-5, absolute: 1e-5 });
    expectClose(one.logProb, many.logProb, { relative: 1e-5, absolute: 1e-5 });
    flow.dispose();
  }
});

test("orders of convergence on the eight Gaussians: 3, 3, 4 and 5", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code: eightGaussians.wgsl ?? "" }) });
  const n = 33;
  const x = uniformArray(2 * n, -1.5, 1.5, 4);
  const start = forRows(n, (i) => standardLogDensity(rowOf(x, 2, i)));
  const exact = pushRows(eightGaussians, x, "rk4", timesOf(0, 1, 400), start);
  const mean = (values: ArrayLike<number>, wanted: ArrayLike<number>) =>
    Math.sqrt(Array.from(values).reduce((sum, value, i) => sum + (value - (wanted[i] ?? 0)) ** 2, 0) / values.length);
  // high orders drown in f32 beyond a few steps, and with so few they are not quite reached
  const cases = [
    ["heun3", 32, 3, 0.3],
    ["ssprk3", 32, 3, 0.3],
    ["rk4-3/8", 8, 4, 0.6],
    [six, 8, 5, 0.7],
  ] as const;
  for (const [method, few, order, band] of cases) {
    const errorsAt = async (steps: number) => {
      const got = await flow.push(x, { solver: { method, steps }, logProb: true });
      return [mean(got.x, exact.x), mean(got.logProb ?? [], exact.logProb)];
    };
    const [coarse, fine] = [await errorsAt(few), await errorsAt(2 * few)];
    for (const i of [0, 1])
      expect(Math.abs(Math.log2((coarse[i] ?? 0) / (fine[i] ?? 1)) - order), `${order} ${i}`).toBeLessThan(band);
  }
  flow.dispose();
});

// every solver once, and the sums of many stages where there are most of them
const trained: [string, pf.MlpOptions, number | undefined, FixedMethod[]][] = [
  ["fused, exact divergence", { dim: 2, hidden: [16, 13] }, undefined, methods],
  ["fused, three probes", { dim: 3, hidden: [16] }, 3, [six]],
  ["layer by layer", { dim: 3, hidden: [131, 9] }, undefined, [...methods, midpointSteps(4), midpointSteps(8)]],
];
for (const [name, options, probes, cases] of trained) {
  test(`likelihood gradients of solvers of many stages agree with the oracle: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const { dim } = options;
    const n = 9;
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const weights = await flow.weights();
    const x = uniformArray(n * dim, -1.5, 1.5, 1);
    const vectors = probes === undefined ? undefined : uniformArray(probes * n * dim, -1.2, 1.2, 7);
    const divergenceOf = (i: number) =>
      Array.from({ length: probes ?? 0 }, (_, k) => rowOf((vectors ?? x).subarray(k * n * dim), dim, i));
    for (const method of cases) {
      const got = await pf.likelihoodGradients(flow, x, {
        solver: { method, steps: 1 },
        ...(vectors && { divergence: { probe: "gaussian", probes: probes ?? 1, vectors } }),
      });
      const wanted = likelihood(network(velocity, weights), x, {
        method,
        times: timesOf(1, 0, 1),
        ...(vectors && { divergenceOf }),
      });
      expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
      expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
    }
    flow.dispose();
  });
}

test("a training by a tableau of one's own goes on from its checkpoint, and not with another tableau", async ({
  gpu,
}) => {
  const data = uniformArray(2 * 64, -1, 1, 2);
  const velocity = pf.mlp({ dim: 2, hidden: [8] });
  const own = { method: six, steps: 1 };
  const run = async (solver: pf.Solver, steps: number, resume?: Uint8Array) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    let last = new Uint8Array(0);
    const save = (bytes: Uint8Array) => {
      last = bytes.slice();
    };
    try {
      const training = pf.trainMaximumLikelihood(flow, data, {
        solver,
        steps,
        batchSize: 16,
        divergence: "exact",
        checkpoint: { every: 2, save },
        ...(resume && { resume }),
      });
      for await (const _ of training);
      return { weights: await flow.weights(), last };
    } finally {
      flow.dispose();
    }
  };
  const whole = await run(own, 4);
  const half = await run(own, 2);
  expect((await run(own, 4, half.last)).weights).toEqual(whole.weights);
  const square = { ...six, a: six.a.map((row) => [...row, ...Array(6 - row.length).fill(0)]) };
  expect((await run({ method: square, steps: 1 }, 4, half.last)).weights).toEqual(whole.weights);
  const refusal = (solver: pf.Solver) => run(solver, 4, half.last).then(String, (error: Error) => error.message);
  expect(await refusal({ method: "rk4", steps: 1 })).toMatch(/solver\.method/);
  expect(await refusal({ method: midpointSteps(3), steps: 1 })).toMatch(/solver\.method\.b is \[/);
});

test("tableaux that are none are told at the call, in words", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const told = (method: unknown) =>
    flow.sample(3, { solver: { method, steps: 2 } as pf.Solver }).then(String, (error: Error) => error.message);
  expect(await told({ ...six, b: [...six.b.slice(1), 0] })).toMatch(/sample: solver\.method\.b adds up to 0\.9/);
  expect(await told({ ...six, c: six.c.slice(1) })).toMatch(/solver\.method\.c has 5 nodes/);
  expect(await told({ a: [[1]], b: [1], c: [1] })).toMatch(/must be explicit/);
  flow.dispose();
});
