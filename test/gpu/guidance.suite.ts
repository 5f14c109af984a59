import * as pf from "pushforward";
import { network } from "../oracle/mlp.ts";
import { mix, networkField } from "../oracle/network-field.ts";
import { pushRows, standardLogDensity, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, uniformArray } from "./inputs.ts";

const n = 65;
const w = 2.5;
const tolerance = { relative: 1e-5, absolute: 1e-5 };

for (const [name, options] of [
  ["fused", { dim: 2, hidden: [12], activation: "tanh", context: 2 }],
  ["layered", { dim: 2, hidden: [140], activation: "tanh", context: 1 }],
] as [string, pf.MlpOptions][])
  test(`guidance by the context alone is away from a context of zeros, as in f64: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const net = network(velocity, await flow.weights());
    const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
    const x = uniformArray(n * 2, -2, 2, 1);
    const start = forRows(n, (i) => standardLogDensity(rowOf(x, 2, i)));
    const zeros = new Float32Array(velocity.context);
    const field = (i: number) =>
      mix(networkField(net, "exact", { context: zeros }), networkField(net, "exact", conditionOf(i)), w);
    const wanted = pushRows(field, x, "midpoint", timesOf(0, 1, 3), start);
    const solver = { method: "midpoint", steps: 3 } as const;
    const got = await flow.push(x, { ...given, solver, guidance: w, logProb: true, divergence: "exact" });
    expectClose(got.x, wanted.x, tolerance);
    expectClose(got.logProb ?? [], wanted.logProb, tolerance);
    const plain = await flow.push(x, { ...given, solver });
    expect((await flow.push(x, { ...given, solver, guidance: 1 })).x).toEqual(plain.x);
    const none = { context: new Float32Array(n * velocity.context) };
    const free = await flow.push(x, { ...none, solver });
    expect((await flow.push(x, { ...given, solver, guidance: 0 })).x).toEqual(free.x);
    flow.dispose();
  });

/** A network of one's own whose kernels are those of {@link pf.network}. */
const own = (width: number) =>
  pf.network({ dim: 2, context: 2 }, ({ x, t, context }) => {
    const h = pf.activate(pf.linear(pf.concat(x, t, context), width, "in"), "tanh");
    return pf.linear(pf.add(h, pf.multiply(h, pf.linear(context, width, "by"))), 2, "out");
  });

async function expectMixed(gpu: pf.Gpu, width: number): Promise<void> {
  const velocity = own(width);
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const { options: given } = conditionsFor(velocity, n, 4);
  const none = { context: new Float32Array(n * 2) };
  const x = uniformArray(n * 2, -2, 2, 1);
  const [guided, unguided, free] = await Promise.all([
    flow.velocity(x, 0.3, { ...given, guidance: w }),
    flow.velocity(x, 0.3, given),
    flow.velocity(x, 0.3, none),
  ]);
  const mixed = unguided.map((value, i) => (1 - w) * (free[i] ?? 0) + w * value);
  expectClose(guided, mixed, tolerance);
  expect(await flow.velocity(x, 0.3, { ...given, guidance: 0 })).toEqual(free);
  // one step of Euler from 0
  const solver = { method: "euler", steps: 1 } as const;
  const [a, b, c] = await Promise.all([
    flow.push(x, { ...given, solver, guidance: w }),
    flow.push(x, { ...given, solver }),
    flow.push(x, { ...none, solver }),
  ]);
  expectClose(
    a.x,
    b.x.map((value, i) => (1 - w) * (c.x[i] ?? 0) + w * value),
    tolerance,
  );
  expect((await flow.push(x, { ...given, solver, guidance: 0 })).x).toEqual(c.x);
  flow.dispose();
}

for (const width of [8, 136])
  test(`a network of one's own is guided by its context: width ${width}`, ({ gpu }) => expectMixed(gpu, width));
test("a network of one's own is guided by its context: on a GPU's tiles", async () => {
  using gpu = await pf.openGpu();
  // it says that it is one
  Object.assign(gpu.info, { software: false });
  await expectMixed(gpu, 8);
});

for (const [name, velocity] of [
  ["fused, by class", pf.mlp({ dim: 2, hidden: [12], classes: 3 })],
  ["layered, by class", pf.mlp({ dim: 2, hidden: [140], classes: 3 })],
  ["a network, by context", own(8)],
] as [string, pf.MlpVelocity | pf.NetworkVelocity][])
  test(`between two times guidance has the bits of solves with and without it: ${name}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const { options: given } = conditionsFor(velocity, n, 4);
    const x = uniformArray(n * 2, -2, 2, 1);
    const part = async (rows: Float32Array, from: number, to: number, steps: number, guidance: number) => {
      const solver = { method: "midpoint", steps } as const;
      return (await flow.push(rows, { ...given, from, to, solver, guidance })).x;
    };
    // middles of the steps: 1/8, 3/8, 5/8, 7/8
    let wanted = await part(x, 0, 0.25, 1, 1);
    wanted = await part(wanted, 0.25, 0.75, 2, w);
    wanted = await part(wanted, 0.75, 1, 1, 1);
    const solver = { method: "midpoint", steps: 4 } as const;
    const options = { ...given, solver, guidance: w, guidanceInterval: [0.375, 0.7] as [number, number] };
    const { x: got, saved } = await flow.push(x, { ...options, saveAt: "steps" });
    expect(got).toEqual(wanted);
    expect(saved?.subarray(2 * n * 2, 3 * n * 2)).toEqual(await part(await part(x, 0, 0.25, 1, 1), 0.25, 0.5, 1, w));
    // a density of the flow that draws so: there and back on a fine grid
    const fine = { ...options, solver: { method: "rk4", steps: 16 } as const, divergence: "exact" as const };
    const drawn = await flow.sample(n, { ...fine, seed: 3, logProb: true });
    const { logProb } = await flow.logProb(drawn.x, fine);
    expectClose(logProb, drawn.logProb ?? [], { absolute: 1e-3 });
    const { velocity: early } = await flow.flux(x, 0.1, options);
    expect(early).toEqual(await flow.velocity(x, 0.1, given));
    flow.dispose();
  });

test("an interval of guidance is two times in order, of a solver with fixed steps", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4], classes: 2 }) });
  const options = { labels: new Uint32Array(2), guidance: 2 };
  for (const interval of [[0.7, 0.3], [0.1], [0, 0.5, 1], 0.5, [Number.NaN, 1], [0, 2]])
    await expect(
      flow.sample(2, { ...options, guidanceInterval: interval as unknown as [number, number] }),
    ).rejects.toThrow(/guidanceInterval is .*two times of \[0, 1\]/);
  await expect(
    flow.sample(2, { ...options, guidanceInterval: [0, 0.5], solver: { method: "dopri5" } }),
  ).rejects.toThrow(/guidanceInterval is for fixed steps, but the solver is dopri5/);
  flow.dispose();
});

test("a dropped context is zeros, and training tells where there is none", async ({ gpu }) => {
  const data = uniformArray(40, -1, 1, 1);
  const trained = async (options: Partial<pf.FlowMatchingOptions>) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4], context: 1 }), seed: 1 });
    const steps = pf.trainFlowMatching(flow, data, {
      steps: 2,
      batchSize: 65,
      context: new Float32Array(20),
      ...options,
    });
    for await (const _ of steps);
    const weights = await flow.weights();
    flow.dispose();
    return weights;
  };
  const context = uniformArray(20, 1, 2, 2);
  expect(await trained({ context, contextDropout: 1 })).toEqual(await trained({}));
  expect(await trained({ context, contextDropout: 0 })).toEqual(await trained({ context }));
  expect(await trained({ context, contextDropout: 0.5 })).not.toEqual(await trained({ context }));
  const bare = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }) });
  const told = async () => {
    for await (const _ of pf.trainFlowMatching(bare, data, { steps: 1, contextDropout: 0.1 }));
  };
  await expect(told()).rejects.toThrow(/no context to drop/);
  bare.dispose();
});
