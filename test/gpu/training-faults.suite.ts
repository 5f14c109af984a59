import * as pf from "pushforward";
import { expect, test } from "../suite.ts";

const velocity = pf.mlp({ dim: 2, hidden: [8] });
const classed = pf.mlp({ dim: 2, hidden: [8], classes: 2 });
const data = pf.toyData("moons", 100);
const options = { steps: 4, batchSize: 32, logEvery: 1 } as const;

async function finish(training: AsyncIterable<pf.TrainingStep>): Promise<void> {
  for await (const _ of training);
}

test("a second training of a flow is refused until the first has ended, however it ends", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
  const endings: [string, (abort: AbortController, first: AsyncIterator<pf.TrainingStep>) => Promise<unknown>][] = [
    ["the loop is left", (_, first) => first.return?.() ?? Promise.resolve()],
    [
      "abort",
      (abort, first) => {
        abort.abort();
        return first.next().catch(() => undefined);
      },
    ],
    [
      "its end",
      async (_, first) => {
        while (!(await first.next()).done);
      },
    ],
    [
      "an error",
      (_, first) => (first.throw?.(new Error("of the consumer")) ?? Promise.resolve()).catch(() => undefined),
    ],
  ];
  for (const [, end] of endings) {
    const abort = new AbortController();
    const first = pf.trainFlowMatching(flow, data, { ...options, signal: abort.signal });
    await first.next();
    for (const second of [
      () => finish(pf.trainFlowMatching(flow, data, options)),
      () => finish(pf.trainMaximumLikelihood(flow, data, options)),
      async () => flow.setWeights(await flow.weights()),
    ])
      await expect(second()).rejects.toThrow(
        /flow is being trained.*trainFlowMatching.*until|trainFlowMatching.*has ended/,
      );
    // between two steps its gradients are those of one set of weights
    await pf.likelihoodGradients(flow, data.subarray(0, 8), { solver: { method: "euler", steps: 1 } });
    await end(abort, first);
    await finish(pf.trainFlowMatching(flow, data, { ...options, steps: 1 }));
  }
  flow.dispose();
});

test("two trainings that begin at once end with the weights of the first", async ({ gpu }) => {
  const flows = [1, 2].map(() => pf.Flow.create(gpu, { velocity, seed: 1 }));
  const [alone, both] = flows as [pf.Flow, pf.Flow];
  await finish(pf.trainFlowMatching(alone, data, { ...options, seed: 1 }));
  const ends = await Promise.allSettled(
    [1, 2].map((seed) => finish(pf.trainFlowMatching(both, data, { ...options, seed }))),
  );
  expect(ends.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(await both.weights()).toEqual(await alone.weights());
  for (const flow of flows) flow.dispose();
});

test("classes without labels are refused, in trainings, validations and gradients", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: classed, seed: 1 });
  const [x0, x1, t] = [data.slice(0, 4), data.slice(4, 8), Float32Array.of(0.2, 0.7)];
  const labels = new Uint32Array(100);
  const calls: (() => unknown)[] = [
    () => pf.trainFlowMatching(flow, data, options),
    () => pf.trainMaximumLikelihood(flow, data, options),
    () => finish(pf.trainFlowMatching(flow, data, { ...options, labels, validation: { data: x0 } })),
    () => pf.flowMatchingGradients(flow, { x0, x1, t }),
    () => pf.likelihoodGradients(flow, x0),
  ];
  for (const call of calls)
    await expect((async () => call())()).rejects.toThrow(/labels are missing.*2 classes.*Uint32Array/);
  // what means the null class says so
  await finish(pf.trainFlowMatching(flow, data, { ...options, labelDropout: 1 }));
  await finish(pf.trainMaximumLikelihood(flow, data, { ...options, labels: labels.fill(0xffffffff) }));
  flow.dispose();
});

const wild = Float32Array.from({ length: 200 }, (_, i) => (i % 2 ? 1e25 : 1) * Math.sin(i));
const outlier = Float32Array.from(data, (value, i) => (i === 11 ? 3e24 : value));
const huge = {
  "net.0.weight": new Float32Array(24).fill(1),
  "net.0.bias": new Float32Array(8),
  "net.2.weight": new Float32Array(16).fill(1e30),
  "net.2.bias": new Float32Array(2),
};
const causes: [string, Partial<pf.FlowOptions>, Float32Array, Partial<pf.FlowMatchingOptions>, RegExp][] = [
  ["huge data", {}, wild, {}, /column 1 .*of data reaches .*e\+2.*fitNormalization/],
  [
    "huge data at a tiny learning rate",
    {},
    wild,
    { learningRate: 1e-9, gradientClip: 1 },
    /column 1 .*fitNormalization/,
  ],
  [
    "one huge row beside a normalization",
    { normalization: { mean: [0, 0], scale: [1, 1] } },
    outlier,
    { steps: 20 },
    /row 5, column 1 .*leave such rows out/,
  ],
  [
    "weights that overflow",
    { weights: huge },
    data,
    { learningRate: 1e-9 },
    /weights that the training began with reach 1e\+30 \(in "net\.2\.weight"\)/,
  ],
  [
    "a learning rate that blows up",
    {},
    data,
    { learningRate: 1e25, steps: 20, logEvery: 10 },
    /lower the learning rate \(1e\+25\)/,
  ],
];
for (const [name, flowOptions, rows, more, message] of causes) {
  test(`a loss that is lost names its cause: ${name}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1, ...flowOptions });
    await expect(finish(pf.trainFlowMatching(flow, rows, { ...options, ...more }))).rejects.toThrow(message);
    flow.dispose();
  });
}

test("a training that diverges leaves the flow the last good weights, and says of which step they are", async ({
  gpu,
}) => {
  for (const ema of [undefined, 0.9]) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    const before = await flow.weights();
    const wild = (good: number) => ({
      ...options,
      steps: 40,
      learningRate: (step: number) => (step < good ? 1e-3 : 3e38),
      ...(ema && { ema }),
    });
    const lost = expect(finish(pf.trainFlowMatching(flow, data, wild(0)))).rejects;
    await lost.toThrow(
      /diverged: lower the learning rate .*; the flow has the weights that it had before the training/,
    );
    expect(await flow.weights()).toEqual(before);
    expect((await flow.sample(3)).x.every(Number.isFinite)).toBe(true);

    const saved = new Map<number, Uint8Array>();
    const checkpoint = { every: 3, save: (bytes: Uint8Array, step: number) => void saved.set(step, bytes) };
    const again = expect(finish(pf.trainFlowMatching(flow, data, { ...wild(6), checkpoint }))).rejects;
    await again.toThrow(/; the flow has its weights of step 6, the last good ones that were read/);
    const whole = pf.Flow.load(gpu, saved.get(6) ?? new Uint8Array());
    expect(await flow.weights()).toEqual(await whole.weights());
    expect([...saved.keys()]).toEqual([3, 6]);
    for (const each of [flow, whole]) each.dispose();
  }
});
