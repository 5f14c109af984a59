import * as pf from "pushforward";
import { expect, test } from "../suite.ts";

const straight: pf.Path = { alpha: (t) => t, sigma: (t) => 1 - t, dAlpha: () => 1, dSigma: () => -1 };
/** One row, and a source of hardly any width: batches of pairs then differ from others by nothing but their times and weights. */
const data = Float32Array.of(0.25, 2);
const source: pf.Source = { distribution: "uniform", low: [0, 0], high: [1e-30, 1e-30] };

async function trained(gpu: pf.Gpu, options: Partial<pf.FlowMatchingOptions>) {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }), source, seed: 1 });
  const losses: number[] = [];
  const steps = pf.trainFlowMatching(flow, data, {
    steps: 3,
    batchSize: 67,
    logEvery: 1,
    validation: { data },
    ...options,
  });
  for await (const { loss, validationLoss = Number.NaN } of steps) losses.push(loss, validationLoss);
  const weights = await flow.weights();
  flow.dispose();
  return { losses, weights };
}

test("samples that are paired have the times and weights that they have without pairs", async ({ gpu }) => {
  const all: Partial<pf.FlowMatchingOptions>[] = [
    { time: { logitNormal: [0.5, 0.7] } },
    { time: "stratified", weighting: (t) => 1 + t, path: "cosine" },
  ];
  const seen = new Set<number>();
  for (const options of all) {
    const alone = await trained(gpu, options);
    expect(await trained(gpu, { ...options, coupling: "optimal-transport" })).toEqual(alone);
    for (const loss of alone.losses) expect(Number.isFinite(loss)).toBe(true);
    seen.add(alone.losses[0] ?? 0);
  }
  expect(seen.size).toBe(all.length);
});

test("a weight of one changes no bit, and one of two doubles the loss", async ({ gpu }) => {
  const plain = await trained(gpu, { path: straight, learningRate: 0 });
  expect(await trained(gpu, { weighting: () => 1, learningRate: 0 })).toEqual(plain);
  const { losses } = await trained(gpu, { weighting: () => 2, learningRate: 0 });
  expect(losses).toEqual(plain.losses.map((loss) => 2 * loss));
  // uniform times by name, and by their inverse distribution
  expect(await trained(gpu, { time: (u) => u })).toEqual(await trained(gpu, { time: "uniform", path: straight }));
});

test("stratified times make the loss of a batch vary less", async ({ gpu }) => {
  const deviation = async (time: pf.TimeDistribution) => {
    // one row and a source of hardly any width: what varies from batch to batch is the time alone
    const narrow: pf.Source = { distribution: "uniform", low: [0, 0], high: [1e-6, 1e-6] };
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }), source: narrow, seed: 1 });
    const losses: number[] = [];
    const options = { steps: 20, batchSize: 67, logEvery: 1, learningRate: 0, time };
    for await (const { loss } of pf.trainFlowMatching(flow, data, options)) losses.push(loss);
    flow.dispose();
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    return Math.sqrt(losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / losses.length);
  };
  expect(await deviation("stratified")).toBeLessThan(0.1 * (await deviation("uniform")));
});

test("a training with times and weights of one's own goes on from its checkpoint, and not with others", async ({
  gpu,
}) => {
  const options = { weighting: (t: number) => 2 - t, time: (u: number) => u * u };
  let state: Uint8Array | undefined;
  const save = (bytes: Uint8Array, step: number) => {
    if (step === 2) state = bytes;
  };
  const whole = await trained(gpu, { ...options, checkpoint: { every: 2, save } });
  if (!state) throw new Error("there was no checkpoint");
  const resumed = await trained(gpu, { ...options, resume: state });
  expect(resumed).toEqual({ losses: whole.losses.slice(4), weights: whole.weights });
  const other = (change: Partial<pf.FlowMatchingOptions>) =>
    trained(gpu, { ...options, ...change, resume: state as Uint8Array });
  await expect(other({ weighting: (t) => 2 - t * t })).rejects.toThrow(/weighting is 65536 values/);
  await expect(other({ time: { beta: [0.5, 1] } })).rejects.toThrow(/time\.beta is not set there and \[0\.5,1\] here/);
});
