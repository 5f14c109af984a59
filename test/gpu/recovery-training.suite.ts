import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";
import { lose, ownGpu, withFlow } from "./losing.ts";

const solver = { method: "midpoint", steps: 4 } as const;
// small, since every lost device compiles its kernels anew
const narrow = pf.mlp({ dim: 2, hidden: [4] });

const data = uniformArray(2 * 300, -1, 1, 11);
const trainings: Record<string, (flow: pf.Flow, o: Partial<pf.TrainingOptions>) => AsyncIterable<pf.TrainingStep>> = {
  "flow matching": (flow, o) =>
    pf.trainFlowMatching(flow, data, {
      ...{ steps: 12, batchSize: 64, logEvery: 2, ema: 0.9, gradientClip: 1, seed: 12 },
      ...o,
    }),
  "flow matching with optimal-transport pairs and validation": (flow, o) =>
    pf.trainFlowMatching(flow, data, {
      ...{
        steps: 12,
        batchSize: 64,
        logEvery: 3,
        coupling: "optimal-transport",
        validation: { data: data.slice(0, 100), keepBest: true, patience: 9 },
      },
      ...o,
    }),
  "maximum likelihood": (flow, o) =>
    pf.trainMaximumLikelihood(flow, data, {
      ...{ steps: 5, batchSize: 64, logEvery: 1, solver, validation: { data: data.slice(0, 100), every: 2 } },
      ...o,
    }),
};

for (const [name, train] of Object.entries(trainings)) {
  test(`a training goes on after the loss of its device, and tells nothing twice: ${name}`, async ({ gpu }) => {
    const run = async (on: pf.Gpu, disturb: (step: number) => void) => {
      const saved: string[] = [];
      const save = (bytes: Uint8Array, step: number) => {
        saved.push(`${step}: ${bytes.reduce((sum, byte) => (31 * sum + byte) >>> 0, 7)}`);
      };
      return withFlow(on, narrow, async (flow) => {
        const told: object[] = [];
        for await (const { samplesPerSecond, ...step } of train(flow, { checkpoint: { every: 4, save } })) {
          told.push(step);
          disturb(step.step);
        }
        return { told, saved, weights: await flow.weights() };
      });
    };
    const wanted = await run(gpu, () => undefined);
    const { gpu: own, devices } = await ownGpu();
    const got = await run(own, (step) => {
      devices();
      if (name === "maximum likelihood" ? step === 3 : step === 3 || step === 4 || step === 9) lose(own);
    });
    expect(got).toEqual(wanted);
    expect(devices() > 1).toBe(true);
    expect(own.liveBufferCount).toBe(0);
    own.dispose();
  });
}

test("a device that is lost when a training has ended takes no weights with it", async ({ gpu }) => {
  const run = (on: pf.Gpu, disturb: () => Promise<unknown>) =>
    withFlow(on, narrow, async (flow) => {
      for await (const { step } of pf.trainFlowMatching(flow, data, {
        steps: 20,
        batchSize: 64,
        logEvery: 5,
        ema: 0.9,
      }))
        if (step === 15) break;
      await disturb();
      return [await flow.weights(), (await flow.sample(100, { solver })).x];
    });
  const wanted = await run(gpu, async () => undefined);
  const { gpu: own } = await ownGpu();
  const lost = async () => {
    lose(own);
    await own.lost;
  };
  expect(await run(own, lost)).toEqual(wanted);
  own.dispose();
});

test("gradients are found again on another device when theirs is lost", async ({ gpu }) => {
  const batch = { x0: data.slice(0, 128), x1: data.slice(128, 256), t: uniformArray(64, 0, 1, 13) };
  const run = (on: pf.Gpu, disturb: () => void) =>
    withFlow(on, narrow, async (flow) => {
      const pending = [
        pf.flowMatchingGradients(flow, batch),
        pf.likelihoodGradients(flow, data.slice(0, 100), { solver }),
      ];
      disturb();
      return Promise.all(pending);
    });
  const wanted = await run(gpu, () => undefined);
  const { gpu: own } = await ownGpu();
  expect(await run(own, () => lose(own))).toEqual(wanted);
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});
