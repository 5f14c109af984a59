import * as pf from "pushforward";
import { ended, fuzz, type Template } from "../hostile.ts";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

// biome-ignore lint/suspicious/noExplicitAny: arguments are wrong on purpose
type Any = any;

const velocity = pf.mlp({ dim: 2, hidden: [4], classes: 2, context: 1 });
const n = 8;
const rows = () => uniformArray(2 * n, -1, 1, 1);
const conditions = () => ({ labels: new Uint32Array(n), context: new Float32Array(n) });
const running = () => ({ solver: { method: "midpoint", steps: 2 }, chunkSize: 5, seed: 3 });
const box = [
  [-1, 1],
  [-2, 2],
];

const method = (name: string, ...args: unknown[]): [string, (flow: pf.Flow) => Template] => [
  name,
  (flow) => ({ args, call: (given) => (flow as Any)[name](...given) }),
];
const training = { steps: 2, batchSize: 4, learningRate: 1e-3, ema: 0.9, gradientClip: 1, seed: 1, logEvery: 1 };

const calls: Record<string, [string, (flow: pf.Flow) => Template][]> = {
  solves: [
    method("sample", n, { ...running(), ...conditions(), logProb: true, saveAt: [0, 1], to: 1, guidance: 1.5 }),
    method("push", rows(), { ...running(), ...conditions(), from: 0, to: 1, logProb: true }),
    method("logProb", rows(), { ...running(), ...conditions(), at: 1, divergence: { probe: "rademacher", probes: 1 } }),
    method("sampleStream", n, { ...running(), ...conditions() }),
  ],
  evaluations: [
    method("velocity", rows(), 0.5, { ...conditions() }),
    method("divergence", rows(), 0.5, { ...conditions() }),
    method("jvp", rows(), 0.5, rows(), { ...conditions() }),
    method("vjp", rows(), new Float32Array(n), rows(), { ...conditions() }),
    method("setWeights", {
      "net.0.weight": { shape: [4, 6], data: new Float32Array(24) },
      "net.0.bias": new Float32Array(4),
      "net.2.weight": new Float32Array(8),
      "net.2.bias": new Float32Array(2),
    }),
  ],
  reductions: [
    method("moments", n, { ...running(), ...conditions() }),
    method("histogram", n, { ...running(), ...conditions(), bins: [3, 2], range: box, axes: [0, 1] }),
    method("meanLogProb", rows(), { ...running(), ...conditions() }),
    method("densityGrid", { ...running(), box, cells: [3, 2], label: 1, context: new Float32Array(1) }),
    method("flux", rows(), 0.5, { ...running(), ...conditions() }),
  ],
  trainings: [
    [
      "trainFlowMatching",
      (flow) => ({
        args: [
          flow,
          rows(),
          {
            ...{ ...training, ...conditions(), labelDropout: 0.1 },
            coupling: { method: "exact", group: 4, reuse: 2, pool: 8, contextWeight: 1, threads: 0 },
            validation: { data: rows(), ...conditions(), every: 1 },
          },
        ],
        call: ([a, b, c]) => pf.trainFlowMatching(a as Any, b as Any, c as Any),
      }),
    ],
    [
      "trainMaximumLikelihood",
      (flow) => ({
        args: [flow, rows(), { ...training, ...conditions(), solver: { method: "midpoint", steps: 1 } }],
        call: ([a, b, c]) => pf.trainMaximumLikelihood(a as Any, b as Any, c as Any),
      }),
    ],
    [
      "flowMatchingGradients",
      (flow) => ({
        args: [flow, { x0: rows(), x1: rows(), t: new Float32Array(n), ...conditions() }, {}],
        call: ([a, b, c]) => pf.flowMatchingGradients(a as Any, b as Any, c as Any),
      }),
    ],
    [
      "likelihoodGradients",
      (flow) => ({
        args: [flow, rows(), { solver: { method: "midpoint", steps: 1 }, ...conditions() }],
        call: ([a, b, c]) => pf.likelihoodGradients(a as Any, b as Any, c as Any),
      }),
    ],
    [
      "logProbGradient",
      (flow) => ({
        args: [flow, rows(), { solver: { method: "midpoint", steps: 1 }, ...conditions() }],
        call: ([a, b, c]) => pf.logProbGradient(a as Any, b as Any, c as Any),
      }),
    ],
    [
      "Flow.create",
      ({ gpu }) => ({
        args: [
          gpu,
          {
            velocity,
            seed: 1,
            source: { distribution: "gaussian", mean: [0, 1], std: [1, 2] },
            normalization: { mean: [0, 1], scale: [1, 2] },
          },
        ],
        call: ([a, b]) => pf.Flow.create(a as Any, b as Any).dispose(),
      }),
    ],
  ],
};

for (const [kind, templates] of Object.entries(calls)) {
  test(`whatever ${kind} are given, they end with a result or in words, and hold nothing`, async ({ gpu }) => {
    using flow = pf.Flow.create(gpu, { velocity, seed: 1 });
    using bystander = pf.Flow.create(gpu, { velocity, seed: 2 });
    const sample = (of: pf.Flow) =>
      of.sample(n, { ...conditions(), seed: 5, solver: { method: "midpoint", steps: 2 } });
    const wanted = await sample(bystander);
    const own = templates.map(([name, template]) => [name, template(flow)] as const);
    // the right calls work; what they bring to the device for later ones stays there
    for (const [, { args, call }] of own) await ended(await call(args));
    const buffers = gpu.liveBufferCount;
    for (const [name, template] of own) {
      await fuzz(name, template, 40);
      expect([name, gpu.liveBufferCount]).toEqual([name, buffers]);
    }
    expect((await sample(bystander)).x).toEqual(wanted.x);
  });
}
