import * as pf from "pushforward";
import { expect, test } from "../suite.ts";

type Training = (flow: pf.Flow, o: Partial<pf.TrainingOptions>) => AsyncIterableIterator<pf.TrainingStep>;

const rows = 150;
const data = pf.toyData("moons", rows);
const labels = Uint32Array.from({ length: rows }, (_, i) => i % 2);
const context = Float32Array.from({ length: rows }, (_, i) => i / rows);
const steps = 7;
const plain = pf.mlp({ dim: 2, hidden: [8] });
const conditional = pf.mlp({ dim: 2, hidden: [8], classes: 2, context: 1 });
const matching =
  (own: Partial<pf.FlowMatchingOptions>): Training =>
  (flow, o) =>
    pf.trainFlowMatching(flow, data, { steps, batchSize: 65, logEvery: 2, ...own, ...o });
const likelihood =
  (own: Partial<pf.MaximumLikelihoodOptions>): Training =>
  (flow, o) =>
    pf.trainMaximumLikelihood(flow, data, {
      steps,
      batchSize: 33,
      logEvery: 2,
      solver: { method: "midpoint", steps: 2 },
      ...own,
      ...o,
    });

const cases: [string, pf.MlpVelocity, Training][] = [
  ["flow matching with Adam", plain, matching({})],
  [
    "flow matching with AdamW, clipping, a moving average, a learning rate that changes and optimal-transport pairs",
    plain,
    matching({
      optimizer: { name: "adamw", weightDecay: 0.1 },
      gradientClip: 0.5,
      ema: 0.9,
      learningRate: (step) => 1e-2 / (1 + step),
      coupling: "optimal-transport",
      path: "cosine",
      seed: 2 ** 40 + 5,
    }),
  ],
  [
    "flow matching with Muon, accumulation and a frozen tensor",
    pf.mlp({ dim: 2, hidden: [8, 9] }),
    matching({
      accumulate: 5,
      freeze: (name) => name === "net.0.bias",
      optimizer: "muon",
      ema: 0.9,
      gradientClip: 0.5,
      learningRate: { peak: 1e-3, schedule: "cosine", warmup: 2 },
    }),
  ],
  [
    "flow matching that ends with the best weights of its moving average",
    plain,
    matching({
      ema: 0.5,
      learningRate: (step) => (step < 4 ? 1e-2 : 0.5),
      validation: { data: pf.toyData("moons", 37, 5), every: 1, patience: 5, keepBest: true },
    }),
  ],
  [
    "flow matching with label dropout, context and a moving average",
    conditional,
    matching({ labels, context, labelDropout: 0.3, ema: 0.99 }),
  ],
  [
    "maximum likelihood with AdamW, probes, labels and a moving average",
    conditional,
    likelihood({
      optimizer: "adamw",
      solver: { method: "heun2", steps: 2 },
      divergence: { probe: "rademacher" },
      labels,
      context,
      ema: 0.9,
      gradientClip: 1,
      learningRate: (step) => 1e-2 / (1 + step),
    }),
  ],
  [
    "maximum likelihood of steps whose times are drawn anew",
    plain,
    likelihood({ objective: "discrete", jitter: 0.4, solver: { method: "midpoint", steps: 3, warp: 1.5 } }),
  ],
];

/** Trains to the end: what it told, the weights, and the checkpoints by their step. */
async function run(flow: pf.Flow, training: Training, o: Partial<pf.TrainingOptions> = {}) {
  const checkpoints = new Map<number, Uint8Array>();
  const told: [number, number][] = [];
  const checkpoint = { every: 3, save: (bytes: Uint8Array, step: number) => void checkpoints.set(step, bytes) };
  for await (const { step, loss } of training(flow, { checkpoint, ...o })) told.push([step, loss]);
  return { told, checkpoints, weights: await flow.weights() };
}

/** A checkpoint that must be there. */
function at(checkpoints: Map<number, Uint8Array>, step: number): Uint8Array {
  const bytes = checkpoints.get(step);
  if (!bytes) throw new Error(`there is no checkpoint of step ${step}`);
  return bytes;
}

for (const [name, velocity, training] of cases) {
  test(`a resumed training has the bits of one that was never cut off: ${name}`, async ({ gpu }) => {
    const normalization = pf.fitNormalization(data, 2);
    const create = (seed: number) => pf.Flow.create(gpu, { velocity, seed, normalization });
    const whole = create(1);
    const undisturbed = await run(whole, training);
    expect([...undisturbed.checkpoints.keys()]).toEqual([3, 6, 7]);

    // checkpoints change nothing
    const bare = create(1);
    for await (const _ of training(bare, {}));
    expect(await bare.weights()).toEqual(undisturbed.weights);

    // other initial weights: all that matters comes from the checkpoint
    const second = create(9);
    const resume = at(undisturbed.checkpoints, 3);
    const resumed = await run(second, training, { resume });
    expect(resumed.weights).toEqual(undisturbed.weights);
    expect(resumed.told).toEqual(undisturbed.told.filter(([step]) => step > 3));
    // whole files, byte for byte: moments, moving average and summed losses too
    expect(at(resumed.checkpoints, 7)).toEqual(at(undisturbed.checkpoints, 7));

    // a training that was done already has nothing left but its result
    const third = create(9);
    const done = await run(third, training, { resume: at(undisturbed.checkpoints, 7) });
    expect(done.told).toEqual([]);
    expect(done.weights).toEqual(undisturbed.weights);
    // and its file is a flow's file
    const loaded = pf.Flow.load(gpu, at(undisturbed.checkpoints, 7));
    expect(await loaded.weights()).toEqual(undisturbed.weights);
    for (const flow of [whole, bare, second, third, loaded]) flow.dispose();
  });
}

test("a training that was aborted resumes from its last checkpoint, and can go on for longer", async ({ gpu }) => {
  const training = matching({ ema: 0.9 });
  const [whole, cut] = [1, 1].map((seed) => pf.Flow.create(gpu, { velocity: plain, seed }));
  if (!whole || !cut) throw new Error("two flows were made");
  const undisturbed = await run(whole, training, { steps: 11 });
  const controller = new AbortController();
  let last: Uint8Array | undefined;
  const reason = new Error("cut off");
  const aborted = async () => {
    for await (const { step } of training(cut, {
      signal: controller.signal,
      checkpoint: {
        every: 3,
        async save(bytes) {
          await Promise.resolve();
          last = bytes;
        },
      },
    }))
      if (step === 4) controller.abort(reason);
  };
  await expect(aborted()).rejects.toBe(reason);
  if (!last) throw new Error("there was no checkpoint");
  const resumed = await run(cut, training, { resume: last, steps: 11 });
  expect(resumed.weights).toEqual(undisturbed.weights);
  whole.dispose();
  cut.dispose();
});

test("a training whose device was lost resumes on another one with the same bits", async ({ gpu }) => {
  const training = matching({ ema: 0.9 });
  const whole = pf.Flow.create(gpu, { velocity: plain, seed: 1 });
  const undisturbed = await run(whole, training);
  const own = await pf.openGpu({ recover: false });
  const doomed = pf.Flow.create(own, { velocity: plain, seed: 1 });
  const saved: Uint8Array[] = [];
  const lost = async () => {
    const checkpoint = { every: 3, save: (bytes: Uint8Array) => void saved.push(bytes) };
    for await (const { step } of training(doomed, { checkpoint })) if (step === 4) own.device.destroy();
  };
  await expect(lost()).rejects.toThrow(expect.objectContaining({ code: "device-lost" }));
  own.dispose();
  const [last] = saved;
  if (!last) throw new Error("there was no checkpoint");
  const second = pf.Flow.create(gpu, { velocity: plain, seed: 2 });
  expect((await run(second, training, { resume: last })).weights).toEqual(undisturbed.weights);
  whole.dispose();
  second.dispose();
});

const longer = new Float32Array([...data, 0, 0]);
const changed = data.map((value, i) => (i === 100 ? value + 1 : value));
const onData = (other: Float32Array) => (flow: pf.Flow, o: Partial<pf.TrainingOptions>) =>
  pf.trainFlowMatching(flow, other, { steps, batchSize: 65, logEvery: 2, ...o });
const mismatches: [string, Training, RegExp, pf.MlpVelocity?][] = [
  ["another network", matching({}), /velocity\.hidden is \[8\] there and \[9\] here/, pf.mlp({ dim: 2, hidden: [9] })],
  ["more data", onData(longer), /data is 300 values of SHA-256 .* there and 302 values/],
  ["other data", onData(changed), /data is 300 values/],
  ["another batch size", matching({ batchSize: 64 }), /batchSize is 65 there and 64 here/],
  ["accumulation", matching({ accumulate: 5 }), /accumulate is not set there and 5 here/],
  ["a frozen layer", matching({ freeze: ["net.0"] }), /freeze is not set there and net\.0\.weight, net\.0\.bias here/],
  ["another seed", matching({ seed: 1 }), /seed is 0 there and 1 here/],
  ["another optimizer", matching({ optimizer: "adamw" }), /optimizer\.weightDecay is 0 there and 0\.01 here/],
  ["Muon", matching({ optimizer: "muon" }), /optimizer\.muon\.momentum is not set there and 0\.95 here/],
  ["a moving average", matching({ ema: 0.9 }), /optimizer\.ema is not set there and 0\.9 here/],
  ["pairs", matching({ coupling: "optimal-transport" }), /coupl/],
  ["another path", matching({ path: "cosine" }), /path is not set there and 262144 values of SHA-256 .* here/],
  ["another learning rate", matching({ learningRate: 1e-2 }), /learningRate\(0\) is 0\.001 there and 0\.01 here/],
  [
    "a schedule",
    matching({ learningRate: { peak: 1e-3, schedule: "linear" } }),
    /another training: learningRate\(2\) is 0\.001 there and 0\.000714\d* here\. Resume/,
  ],
  [
    "a learning rate that changes elsewhere",
    matching({ learningRate: (step) => (step < 2 ? 1e-3 : 1e-4) }),
    /another training: learningRate\(2\) is 0\.001 there and 0\.0001 here\. Resume/,
  ],
  ["another loss", likelihood({}), /training is trainFlowMatching there and trainMaximumLikelihood here/],
  ["fewer steps", matching({ steps: 2 }), /has done 3 steps, but steps is 2/],
];
const part = (bytes: Uint8Array, end: number) => bytes.slice(0, end);
const damages: [string, (bytes: Uint8Array) => Uint8Array, RegExp][] = [
  ["cut short", (bytes) => part(bytes, bytes.length - 1), /is the file complete/],
  ["empty", (bytes) => part(bytes, 0), /is it complete/],
  [
    "with a bit that fell over",
    (bytes) => bytes.map((byte, i) => (i === bytes.length - 9 ? byte ^ 1 : byte)),
    /SHA-256/,
  ],
  [
    "with another step",
    (bytes) => {
      const { tensors, metadata } = pf.decodeSafetensors(bytes);
      const text = metadata["pushforward.training"]?.replace('"step":3', '"step":4') ?? "";
      return pf.encodeSafetensors(tensors, { ...metadata, "pushforward.training": text });
    },
    /SHA-256/,
  ],
  [
    "of a flow alone",
    (bytes) => {
      const { tensors, metadata } = pf.decodeSafetensors(bytes);
      return pf.encodeSafetensors(tensors, { pushforward: metadata.pushforward ?? "" });
    },
    /is no checkpoint/,
  ],
];

test("a checkpoint of another training, or a damaged one, is told before anything is changed", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain, seed: 1 });
  const { checkpoints } = await run(flow, matching({}));
  const resume = at(checkpoints, 3);
  const refused = async (training: Training, bytes: Uint8Array, expected: object, velocity = plain) => {
    const other = pf.Flow.create(gpu, { velocity, seed: 5 });
    const before = await other.weights();
    await expect(run(other, training, { resume: bytes })).rejects.toThrow(expected as never);
    expect(await other.weights()).toEqual(before);
    other.dispose();
  };
  for (const [, training, message, velocity] of mismatches) {
    const code = "invalid-argument";
    await refused(
      training,
      resume,
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
      velocity,
    );
  }
  for (const [, damage, message] of damages) {
    const code = "format";
    const expected = expect.objectContaining({ code, message: expect.stringMatching(message) });
    await refused(matching({}), damage(resume), expected);
  }
  flow.dispose();
});

test("bad checkpoint options are told before the first step, and a save that fails ends the training", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain, seed: 1 });
  const before = await flow.weights();
  const loose = (value: unknown) => value as never;
  const save = () => undefined;
  const faults: [Partial<pf.TrainingOptions>, RegExp][] = [
    [{ checkpoint: loose({ every: 0, save }) }, /checkpoint\.every is 0, but it is an integer of at least 1/],
    [{ checkpoint: loose({ every: 1 }) }, /checkpoint\.save is undefined, but it is a function/],
    [{ checkpoint: loose({ evry: 1, save }) }, /did you mean "every"/],
    [{ resume: loose("checkpoint.safetensors") }, /resume is "checkpoint\.safetensors", but it is the bytes/],
  ];
  for (const [o, message] of faults) await expect(run(flow, matching({}), o)).rejects.toThrow(message);
  expect(await flow.weights()).toEqual(before);
  const full = new Error("the disk is full");
  const failing = { every: 2, save: () => Promise.reject(full) };
  await expect(run(flow, matching({}), { checkpoint: failing })).rejects.toBe(full);
  flow.dispose();
});
