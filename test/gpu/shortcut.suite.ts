import * as pf from "pushforward";
import { shortcutSteps } from "pushforward/few-steps";
import { seedKey, streams, uniforms } from "../../src/random/philox.ts";
import { shuffledRow } from "../../src/random/shuffle.ts";
import { gradientError } from "../oracle/differences.ts";
import { flowMatching } from "../oracle/losses.ts";
import { evaluate, type Network, network } from "../oracle/mlp.ts";
import { expect, expectClose, test } from "../suite.ts";
import { expectGoesOn } from "./goes-on.ts";
import { asGpu, uniformArray } from "./inputs.ts";
import { withFlow } from "./losing.ts";

const rows = 67;
const dim = 2;
const every = 3;
const source = uniformArray(rows * dim, -1, 2, 1);
const data = uniformArray(rows * dim, 1, 4, 2);
const labels = Uint32Array.from({ length: rows }, (_, i) => i % 2);
const context = uniformArray(rows, -1, 1, 3);
const options = { hidden: [9, 8], classes: 2, context: 2 };
const velocity = pf.mlp({ dim, ...options });
const given = { labels, context, shortcut: { every } };
const time = 0.25;
/** A batch has every row once, with the source of its own, at one time: what is random is the lengths alone. */
const whole = {
  ...given,
  ...{ source, batchSize: rows, steps: 1, logEvery: 1, seed: 5 },
  coupling: "paired" as const,
  rowOrder: "shuffled" as const,
  time: () => time,
};

/** The batch of the first step by the equations: x_t, t, the target and the condition of each sample, from f64 velocities. */
function batchOf(net: Network) {
  const key = seedKey(whole.seed);
  const levels = uniforms(key, streams.shortcut, 0, rows, 1);
  const x: number[] = [];
  const target: number[] = [];
  const conditions: { label: number; context: number[] }[] = [];
  for (let i = 0; i < rows; i++) {
    const row = shuffledRow(i, 0, rows, key);
    const [x0, x1] = [source, data].map((all) => [...all.subarray(row * dim, (row + 1) * dim)]) as [number[], number[]];
    const start = x0.map((value, j) => (1 - time) * value + time * (x1[j] ?? 0));
    const length = i % every === 0 ? (levels[i] ?? 0) * (1 - time) : 0;
    const condition = (h: number) => ({ label: labels[row] ?? 0, context: [context[row] ?? 0, h] });
    const half = (t: number, from: readonly number[]) =>
      evaluate(net, t, from, [], condition(length / 2)).velocity.map((u) => u);
    const first = half(time, start);
    const second = half(
      time + length / 2,
      start.map((value, j) => value + (length / 2) * (first[j] ?? 0)),
    );
    x.push(...start);
    target.push(
      ...start.map((_, j) => (length > 0 ? ((first[j] ?? 0) + (second[j] ?? 0)) / 2 : (x1[j] ?? 0) - (x0[j] ?? 0))),
    );
    conditions.push(condition(length));
  }
  const t = new Float64Array(rows).fill(time);
  return {
    x0: x,
    x1: x.map((value, k) => value + (target[k] ?? 0)),
    t,
    conditionOf: (i: number) => conditions[i] ?? {},
  };
}

test("one of every so many samples learns the mean of two steps of half its length: loss and gradient agree with the f64 oracle", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const before = await flow.weights();
  const net = network({ dim, ...options }, before);
  const wanted = flowMatching(net, batchOf(net), () => [0, 1, 1, -1]);
  // Adam with a large ε and no memory moves weights by g·rate/(|g| + ε)
  const size = 1000;
  const optimizer = { name: "adam", betas: [0, 0], epsilon: size } satisfies pf.AdamOptimizer;
  for await (const { loss } of pf.trainFlowMatching(flow, data, { ...whole, optimizer, learningRate: size }))
    expectClose([loss], [wanted.loss], { relative: 1e-5 });
  const after = await flow.weights();
  const gradients = Object.fromEntries(
    Object.entries(before).map(([name, values]) => [
      name,
      Float32Array.from(values, (value, i) => {
        const moved = value - (after[name]?.[i] ?? 0);
        return (moved * size) / (size - Math.abs(moved));
      }),
    ]),
  );
  expect(gradientError(gradients, wanted.gradients)).toBeLessThan(1e-4);
  flow.dispose();
});

test("the loss of validation data is flow matching's at length 0", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const net = network({ dim, ...options }, await flow.weights());
  const conditionOf = (i: number) => ({ label: labels[i] ?? 0, context: [context[i] ?? 0, 0] });
  const wanted = flowMatching(net, { x0: source, x1: data, t: new Float64Array(rows).fill(time), conditionOf });
  const validation = { data, source, labels, context };
  for await (const { validationLoss } of pf.trainFlowMatching(flow, data, { ...whole, learningRate: 0, validation }))
    expectClose([validationLoss ?? 0], [wanted.loss], { relative: 1e-5 });
  flow.dispose();
});

test("on a GPU, whose tiles tell no velocity, the losses of a training with shortcuts and of its validation agree with the f64 oracle", async () => {
  using gpu = await asGpu();
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const net = network({ dim, ...options }, await flow.weights());
  const conditionOf = (i: number) => ({ label: labels[i] ?? 0, context: [context[i] ?? 0, 0] });
  const ofBatch = flowMatching(net, batchOf(net), () => [0, 1, 1, -1]);
  const held = flowMatching(net, { x0: source, x1: data, t: new Float64Array(rows).fill(time), conditionOf });
  const validation = { data, source, labels, context };
  const told: number[] = [];
  for await (const step of pf.trainFlowMatching(flow, data, { ...whole, learningRate: 0, validation }))
    told.push(step.loss, step.validationLoss ?? Number.NaN);
  expectClose(told, [ofBatch.loss, held.loss], { relative: 1e-5 });
  flow.dispose();
});

for (const [name, more] of Object.entries<Partial<pf.FlowMatchingOptions>>({
  "independent pairs": { noise: 0.1, contextDropout: 0.3, labelDropout: 0.2 },
  "optimal-transport pairs": { coupling: { method: "exact", group: 48, contextWeight: 2 } },
  "entropic pairs": { coupling: { method: "sinkhorn", group: 64, iterations: 4, contextWeight: 2 }, path: "cosine" },
}))
  test(`a training with shortcuts is resumed to the same bits and goes on after the loss of its device: ${name}`, async ({
    gpu,
  }) => {
    const options = { ...given, steps: 6, batchSize: 66, accumulate: 2, logEvery: 2, ema: 0.9, ...more };
    const resumed = await expectGoesOn(gpu, { velocity, data, options, every: 3, lostAt: 4 });
    await expect(resumed({ shortcut: { every: 4 } })).rejects.toThrow(/shortcut\.every is 3 there and 4 here/);
  });

test("pairs by optimal transport need no weight of a context that is the length alone", async ({ gpu }) => {
  const alone = pf.mlp({ dim, hidden: [9], context: 1 });
  await withFlow(gpu, alone, async (flow) => {
    const weights: object[] = [];
    for (const coupling of ["optimal-transport", { method: "sinkhorn", group: 64, iterations: 4 }] as const) {
      for await (const { loss } of pf.trainFlowMatching(flow, data, { steps: 2, coupling, shortcut: {} }))
        expect(Number.isFinite(loss)).toBe(true);
      weights.push(await flow.weights());
    }
    expect(weights[0]).not.toEqual(weights[1]);
  });
});

test("a flow of two points goes to them in one step, as it does in many", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [32, 32], context: 1 }), seed: 1 });
  const points = Float32Array.of(-1.5, 1.5);
  const settings = { steps: 200, batchSize: 128, learningRate: { peak: 1e-2, schedule: "cosine" }, ema: 0.95 } as const;
  for await (const { loss } of pf.trainFlowMatching(flow, points, { ...settings, shortcut: { every: 2 } }))
    expect(Number.isFinite(loss)).toBe(true);
  const apart = async (o: pf.SampleOptions) => {
    const { x } = await flow.sample(500, { seed: 3, ...o });
    return x.reduce((sum, value) => sum + Math.abs(Math.abs(value) - 1.5), 0) / 500;
  };
  const one = await apart(shortcutSteps(500, 1));
  // the velocity of independent pairs leads to the mean
  const naive = await apart({ solver: { method: "euler", steps: 1 }, context: new Float32Array(500) });
  expect(naive).toBeGreaterThan(1.2);
  expect(one).toBeLessThan(0.6);
  flow.dispose();
});

test("options of shortcuts have their length behind the context, and what is wrong is told in words", async ({
  gpu,
}) => {
  expect(shortcutSteps(2, 4, Float32Array.of(5, 6, 7, 8))).toEqual({
    solver: { method: "euler", steps: 4 },
    context: Float32Array.of(5, 6, 0.25, 7, 8, 0.25),
  });
  expect(() => shortcutSteps(2, 0)).toThrow(/shortcutSteps: steps is 0/);
  expect(() => shortcutSteps(2, 1, Float32Array.of(5))).toThrow(/context is a Float32Array of 1, .*\[2, context\]/);
  const faults: [pf.MlpOptions, Partial<pf.FlowMatchingOptions>, RegExp][] = [
    [{ dim, hidden: [4] }, {}, /no context, whose last column is the length of a step: make it with context: 1/],
    [{ dim, hidden: [4], context: 1 }, { context }, /this velocity has no context inputs/],
    [{ dim, hidden: [4], context: 2 }, {}, /67 particles with 1 context inputs need a Float32Array of 67/],
    [{ dim, hidden: [4], context: 1 }, { shortcut: { every: 1 } }, /shortcut\.every is 1/],
    [{ dim, hidden: [4], context: 1 }, { shortcut: 4 as never }, /shortcut/],
    [{ dim, hidden: [4], context: 1 }, { contextDropout: 0.5 }, /no context to drop/],
    [{ dim, hidden: [4], context: 1 }, { bridge: 1, predict: "score" }, /a score has no steps/],
  ];
  for (const [spec, more, message] of faults)
    await withFlow(gpu, pf.mlp(spec), async (flow) => {
      const run = async () => {
        for await (const _ of pf.trainFlowMatching(flow, data, { steps: 1, shortcut: {}, ...more }));
      };
      await expect(run()).rejects.toThrow(message);
    });
});
