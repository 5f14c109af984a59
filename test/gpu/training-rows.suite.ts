import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

/** Both trainings, and flow matching with pairs from the host, under one name each. */
const trainings = {
  "flow matching": pf.trainFlowMatching,
  "flow matching with optimal-transport pairs": (
    flow: pf.Flow,
    data: Float32Array,
    o: pf.TrainingOptions,
  ): AsyncIterableIterator<pf.TrainingStep> =>
    pf.trainFlowMatching(flow, data, { ...o, coupling: "optimal-transport" }),
  "maximum likelihood": (flow: pf.Flow, data: Float32Array, o: pf.TrainingOptions) =>
    pf.trainMaximumLikelihood(flow, data, { ...o, solver: { method: "euler", steps: 2 } }),
} as const;

const dim = 2;
const rows = 30;
const data = uniformArray(rows * dim, -2, 2, 1);
const normalization = { mean: [0.5, 0], scale: [2, 1.5] };

for (const [name, train] of Object.entries(trainings)) {
  test(`rows have their shares and their noise: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp({ dim, hidden: [4] });
    async function trained(given: Float32Array, options: Partial<pf.TrainingOptions> = {}) {
      const flow = pf.Flow.create(gpu, { velocity, normalization, seed: 1 });
      let last: pf.TrainingStep | undefined;
      for await (const step of train(flow, given, { steps: 2, batchSize: 65, logEvery: 1, ...options })) last = step;
      const weights = await flow.weights();
      flow.dispose();
      return { loss: last?.loss, validationLoss: last?.validationLoss, weights };
    }
    const plain = await trained(data);
    expect(await trained(data, { noise: 0 })).toEqual(plain);
    expect(await trained(data, { rowWeights: new Float32Array(rows).fill(3) })).toEqual(plain);
    // one row alone has a weight
    const only = new Float32Array(rows);
    only[7] = 0.5;
    expect(await trained(data, { rowWeights: only })).toEqual(await trained(data.slice(7 * dim, 8 * dim)));
    // noise is in units of the flow's own space, a row's its own, and the validation data has none
    const noisy = await trained(data, { noise: 0.5, validation: { data } });
    expect(noisy.loss).not.toBe(plain.loss);
    expect(await trained(data, { noise: new Float32Array(rows).fill(0.5), validation: { data } })).toEqual(noisy);
    const { loss, weights } = await trained(data, { noise: { neighbour: 1, factor: 0, floor: 1 } });
    expect({ loss, weights }).toEqual({ loss: plain.loss, weights: plain.weights });
    await expect(trained(data, { noise: { neighbour: rows, factor: 1 } })).rejects.toThrow(/29 neighbours/);
  });
}

test("a training with noise goes on from its checkpoint to the same bits, and not with other noise", async ({
  gpu,
}) => {
  const flow = () => pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [4] }), normalization, seed: 1 });
  const noise = { factor: 0.5 };
  const rowWeights = uniformArray(rows, 0, 1, 5);
  const options = { steps: 4, batchSize: 65, logEvery: 1, noise, rowWeights };
  let state: Uint8Array | undefined;
  const whole = flow();
  const checkpoint = {
    every: 2,
    save: (bytes: Uint8Array, step: number) => {
      if (step === 2) state = bytes;
    },
  };
  for await (const _ of pf.trainFlowMatching(whole, data, { ...options, checkpoint }));
  if (!state) throw new Error("there was no checkpoint");
  const resumed = flow();
  // the noise with what was left out of it
  const again = { ...options, noise: { ...noise, neighbour: 8, floor: 0.002 }, resume: state };
  for await (const _ of pf.trainFlowMatching(resumed, data, again));
  expect(await resumed.weights()).toEqual(await whole.weights());
  const other = async (change: Partial<pf.FlowMatchingOptions>) => {
    for await (const _ of pf.trainFlowMatching(resumed, data, { ...again, ...change }));
  };
  await expect(other({ noise: { factor: 0.25 } })).rejects.toThrow(/noise\.factor is 0\.5 there and 0\.25 here/);
  await expect(other({ rowWeights: new Float32Array(rows).fill(1) })).rejects.toThrow(/rowWeights is 30 values/);
  for (const each of [whole, resumed]) each.dispose();
});

for (const [name, train] of Object.entries(trainings))
  test(`shuffled rows go on from a checkpoint to the same bits, and cannot have shares: ${name}`, async ({ gpu }) => {
    const flow = () => pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [4] }), normalization, seed: 1 });
    const options = { steps: 4, batchSize: 65, logEvery: 1, noise: 0.1, rowOrder: "shuffled" } as const;
    const states: Uint8Array[] = [];
    const whole = flow();
    const checkpoint = { every: 2, save: (bytes: Uint8Array) => void states.push(bytes) };
    for await (const _ of train(whole, data, { ...options, checkpoint }));
    const resumed = flow();
    const go = async (change: Partial<pf.TrainingOptions> = {}) => {
      for await (const _ of train(resumed, data, { ...options, resume: states[0] ?? new Uint8Array(), ...change }));
    };
    await go();
    expect(await resumed.weights()).toEqual(await whole.weights());
    await expect(go({ rowOrder: "independent" })).rejects.toThrow(/rowOrder is shuffled there and not set here/);
    await expect(go({ rowWeights: new Float32Array(rows).fill(1) })).rejects.toThrow(/rowWeights give rows shares/);
    for (const each of [whole, resumed]) each.dispose();
  });

test("a shuffled pass has every row once: the loss of one batch is that of all rows", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [4] }), normalization, seed: 1 });
  const solver = { method: "euler", steps: 2 } as const;
  const { loss } = await pf.likelihoodGradients(flow, data, { solver });
  const options = { steps: 3, batchSize: rows, logEvery: 1, learningRate: 0, solver, rowOrder: "shuffled" } as const;
  for await (const step of pf.trainMaximumLikelihood(flow, data, options))
    expect(Math.abs(step.loss - loss)).toBeLessThan(1e-5 * Math.abs(loss));
  flow.dispose();
});
