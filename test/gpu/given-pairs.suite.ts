import * as pf from "pushforward";
import { flowMatching } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { expect, expectClose, test } from "../suite.ts";
import { expectGoesOn } from "./goes-on.ts";
import { uniformArray } from "./inputs.ts";
import { withFlow } from "./losing.ts";

const rows = 67;
const dim = 3;
const source = uniformArray(rows * dim, -1, 2, 1);
const data = uniformArray(rows * dim, 1, 4, 2);
const labels = Uint32Array.from({ length: rows }, (_, i) => i % 2);
const context = uniformArray(rows, -1, 1, 3);
const from = uniformArray(rows, 0, 0.5, 4);
const to = uniformArray(rows, 0.6, 1, 5);
const velocity = pf.mlp({ dim, hidden: [9], classes: 2, context: 1 });
const normalization = { mean: [0.5, 1, 2], scale: [2, 1, 0.5] };
const pairs = { source, labels, context, coupling: "paired" } as const;
const steps = { ...pairs, coupling: { method: "paired", from, to } } as const;
/** A batch has every row once, all at one time. */
const whole = { batchSize: rows, rowOrder: "shuffled", steps: 2, logEvery: 1, learningRate: 0 } as const;
const own = (x: Float32Array) =>
  x.map((value, i) => (value - (normalization.mean[i % dim] ?? 0)) / (normalization.scale[i % dim] ?? 1));
const conditionOf = (i: number) => ({ label: labels[i], context: context.subarray(i, i + 1) });

async function losses(flow: pf.Flow, options: Partial<pf.FlowMatchingOptions>): Promise<number[]> {
  const told: number[] = [];
  for await (const { loss } of pf.trainFlowMatching(flow, data, { ...whole, ...options })) told.push(loss);
  return told;
}

test("each row of the source goes with the row of the data that has its number, and with its label and context", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity, normalization, seed: 1 });
  const [x0, x1] = [own(source), own(data)];
  const t = new Float32Array(rows).fill(0.25);
  const { loss } = flowMatching(network(velocity, await flow.weights()), { x0, x1, t, conditionOf });
  for (const got of await losses(flow, { ...pairs, time: () => 0.25 })) expectClose([got], [loss], { relative: 1e-5 });
  // the validation data has a source of its own
  const validation = { data, source, labels, context };
  for await (const { validationLoss } of pf.trainFlowMatching(flow, data, {
    ...{ ...whole, ...pairs, validation },
    time: () => 0.25,
  }))
    expectClose([validationLoss ?? 0], [loss], { relative: 1e-5 });
  flow.dispose();
});

test("pairs with times teach the mean velocity of their steps, at the times where these begin", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity, normalization, seed: 1 });
  const x0 = own(source);
  const x1 = own(data).map((end, i) => {
    const row = Math.floor(i / dim);
    return (x0[i] ?? 0) + (end - (x0[i] ?? 0)) / ((to[row] ?? 0) - (from[row] ?? 0));
  });
  const batch = { x0, x1, t: from, conditionOf };
  const { loss } = flowMatching(network(velocity, await flow.weights()), batch, () => [0, 1, 1, -1]);
  for (const got of await losses(flow, steps)) expectClose([got], [loss], { relative: 1e-5 });
  flow.dispose();
});

test("pairs of f64 in a transform's space keep the digits that f32 has not", async ({ gpu }) => {
  const transform: pf.Transform = [{ kind: "interval", low: 0, high: 1 }];
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [4] }), transform, seed: 1 });
  // f32 has these on the edge
  const near = Float64Array.of(1 - 1e-12, 1 - 1e-11, 0.5);
  const options = { ...whole, batchSize: 3, time: () => 0.5, source: near, coupling: "paired" } as const;
  const logit = Float32Array.from(near, (x) => Math.log(x / (1 - x)));
  const spec = { dim: 1, hidden: [4] };
  const batch = { x0: logit, x1: logit, t: new Float32Array(3).fill(0.5) };
  const { loss } = flowMatching(network(spec, await flow.weights()), batch);
  for await (const { loss: got } of pf.trainFlowMatching(flow, near, options))
    expectClose([got], [loss], { relative: 1e-5 });
  flow.dispose();
});

for (const [name, coupled] of Object.entries({ "given pairs": pairs, "given steps": steps })) {
  const options = {
    steps: 9,
    batchSize: 32,
    logEvery: 3,
    ema: 0.9,
    noise: 0.1,
    accumulate: 2,
    rowOrder: "shuffled" as const,
    ...coupled,
  };

  test(`${name} are resumed to the same bits and go on after the loss of a device, and another pair is told`, async ({
    gpu,
  }) => {
    const resumed = await expectGoesOn(gpu, { velocity, data, options, every: 4, lostAt: 6 });
    const changed = source.with(4, 1.5);
    await expect(resumed({ source: changed })).rejects.toThrow(/source of the training/);
    if (name === "given steps") {
      const later = { ...steps.coupling, from: from.map((t) => t + 0.01) };
      await expect(resumed({ coupling: later })).rejects.toThrow(/coupling\.from is 67 values/);
    } else await expect(resumed({ coupling: "independent" })).rejects.toThrow(/coupling is paired there/);
  });
}

const loose = (value: unknown) => value as never;
const faults: [string, Partial<pf.FlowMatchingOptions>, RegExp][] = [
  ["no source", { ...pairs, source: loose(undefined) }, /there is no source: pass source, whose row i/],
  ["fewer rows", { ...pairs, source: source.slice(dim) }, /source has 66 rows and data 67, but with coupling "paired"/],
  ["a from without a to", { ...pairs, coupling: { method: "paired", from } }, /coupling\.to is undefined.*67 times/],
  ["times of other rows", { ...steps, coupling: { method: "paired", from, to: to.slice(1) } }, /to is .*66.*67 times/],
  ["a step of no time", { ...steps, coupling: { method: "paired", from, to: from } }, /row 0 goes from time .* apart/],
  ["a name that is none", { ...pairs, coupling: loose({ method: "paired", form: from }) }, /did you mean "from"/],
  ["a path of steps", { ...steps, path: "cosine" }, /path was given.*not on a path/],
  ["a bridge of steps", { ...steps, bridge: 1 }, /bridge was given/],
  ["held-out steps", { ...steps, validation: { data, source, labels, context } }, /no loss of other rows/],
  ["held-out rows alone", { ...pairs, validation: { data, labels, context } }, /validation\.source is missing/],
  ["a held-out source alone", { labels, context, validation: { data, source, labels, context } }, /coupling: "paired"/],
];

test("what is wrong with pairs that are given is told in words", async ({ gpu }) => {
  for (const [name, options, message] of faults)
    await withFlow(gpu, velocity, async (flow) => {
      const run = losses(flow, options).then(() => `nothing was told of ${name}`);
      await expect(run).rejects.toThrow(message);
    });
});
