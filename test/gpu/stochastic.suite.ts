import * as pf from "pushforward";
import { normals, seedKey, streams } from "../../src/random/philox.ts";
import { eightGaussians, gaussian } from "../oracle/fields.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { timesOf } from "../oracle/ode.ts";
import { solveSde } from "../oracle/stochastic.ts";
import { at, type Vector } from "../oracle/vectors.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, strengthen, uniformArray } from "./inputs.ts";

const seed = 2 ** 35 + 3;
const methods = ["euler", "heun2"] as const;

/** The score of a flow on the straight path from N(mean, std²), by what is left of x without the data. */
const scoreOf = (u: Vector, t: number, x: Vector, mean: Vector, std: Vector) =>
  Float64Array.from(u, (value, i) => -(at(x, i) - t * value - at(mean, i)) / (1 - t) / at(std, i) ** 2);

const velocityOf = (field: { wgsl?: string; dim: number }) =>
  pf.wgslVelocity({ dim: field.dim, code: field.wgsl ?? "" });

const cases: [string, pf.MlpOptions, pf.Source][] = [
  ["one dimension", { dim: 1, hidden: [8] }, { distribution: "gaussian" }],
  [
    "five dimensions, another source",
    { dim: 5, hidden: [9, 7] },
    { distribution: "gaussian", mean: [1, 0, -1, 2, 0], std: [1, 2, 0.5, 1, 3] },
  ],
  ["classes and context", { dim: 2, hidden: [9], classes: 3, context: 2 }, { distribution: "gaussian" }],
  ["wider than one kernel holds", { dim: 2, hidden: [131] }, { distribution: "gaussian" }],
];
for (const [name, options, source] of cases)
  test(`paths with noise are those of the f64 oracle, forward and back: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const { dim } = velocity;
    const [n, steps] = [67, 5];
    const flow = pf.Flow.create(gpu, { velocity, seed: 3, source });
    const net = network(velocity, await strengthen(flow));
    const x = uniformArray(n * dim, -1.5, 1.5, 1);
    const conditions = conditionsFor(velocity, n, 4);
    const { mean = new Array(dim).fill(0), std = new Array(dim).fill(1) } = source as {
      mean?: number[];
      std?: number[];
    };
    const diffusion = (t: number) => (1 - t) * (0.4 + t);
    for (const method of methods)
      for (const [from, to] of [
        [0, 1],
        [0.9, 0],
      ] as const) {
        const o = { solver: { method, steps }, from, to, seed, ...conditions.options };
        const got = await flow.push(x, { ...o, sde: { diffusion } });
        const times = timesOf(from, to, steps);
        const wanted = forRows(n, (i) =>
          solveSde(
            {
              diffusion,
              drift(t, y) {
                const u = networkField(net, "exact", conditions.conditionOf(i)).velocity(t, y);
                const half = (Math.sign(to - from) * diffusion(t) ** 2) / 2;
                if (half === 0) return Float64Array.from(u);
                const s = scoreOf(u, t, y, mean, std);
                return Float64Array.from(u, (value, k) => value + half * at(s, k));
              },
              noise: (k) => normals(seedKey(seed), streams.diffusion, i, 1, dim, k * Math.ceil(dim / 4)),
            },
            rowOf(x, dim, i),
            times,
            () => method === "euler",
          ),
        );
        expectClose(got.x, wanted, { relative: 2e-5, absolute: 2e-5 });
      }
    flow.dispose();
  });

test("a particle's noise is its own: chunks, neighbours and saved states change no bit, another seed does", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden: [8] }), seed: 2 });
  const options = { solver: { method: "heun2", steps: 6 }, sde: { diffusion: 0.7 }, seed } as const;
  const { x } = await flow.sample(200, options);
  expect((await flow.sample(200, { ...options, chunkSize: 65 })).x).toEqual(x);
  expect((await flow.sample(130, options)).x).toEqual(x.slice(0, 390));
  const saved = await flow.sample(200, { ...options, saveAt: "steps" });
  expect(saved.x).toEqual(x);
  expect(saved.saved?.slice(-600)).toEqual(x);
  const parts: number[] = [];
  for await (const part of flow.sampleStream(200, { ...options, chunkSize: 70 })) parts.push(...part.x);
  expect(Float32Array.from(parts)).toEqual(x);
  expect((await flow.sample(200, { ...options, seed: 1 })).x).not.toEqual(x);
  flow.dispose();
});

test("without noise the bits are those of the ODE, whatever the solver", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 2 });
  for (const method of methods) {
    const options = { solver: { method, steps: 6 }, seed } as const;
    const ode = await flow.sample(100, options);
    expect(await flow.sample(100, { ...options, sde: { diffusion: () => 0 } })).toEqual(ode);
  }
  flow.dispose();
});

const meanAndDeviation = (values: Float32Array, dim: number, k: number) => {
  const column = values.filter((_, i) => i % dim === k);
  const mean = column.reduce((sum, value) => sum + value, 0) / column.length;
  return [mean, Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / column.length)] as const;
};

test("whatever the noise, particles are distributed as those of the ODE are, at every time", async ({ gpu }) => {
  const [mean, s, n] = [[1, -2], 0.5, 8_000];
  const flow = pf.Flow.create(gpu, { velocity: velocityOf(gaussian(mean, s)) });
  for (const [method, steps, diffusion] of [
    ["euler", 120, 0.7],
    ["heun2", 50, (t: number) => 2 * Math.sqrt(1 - t)],
  ] as const) {
    const got = await flow.sample(n, { solver: { method, steps }, sde: { diffusion }, seed: 5, saveAt: [0.5, 1] });
    for (const [k, t] of [0.5, 1].entries())
      for (const axis of [0, 1]) {
        const [average, deviation] = meanAndDeviation(got.saved?.slice(2 * n * k, 2 * n * (k + 1)) ?? got.x, 2, axis);
        const width = Math.hypot(1 - t, t * s);
        // four standard errors, and the error of the steps
        expect(Math.abs(average - t * (mean[axis] ?? 0))).toBeLessThan((4 * width) / Math.sqrt(n) + 0.005);
        expect(Math.abs(deviation / width - 1)).toBeLessThan(4 / Math.sqrt(2 * n) + 0.015);
      }
  }
  flow.dispose();
});

test("noise keeps eight Gaussians eight Gaussians, there and back", async ({ gpu }) => {
  const n = 4000;
  const flow = pf.Flow.create(gpu, { velocity: velocityOf(eightGaussians) });
  const sde = { diffusion: (t: number) => Math.sqrt(1 - t) };
  const solver = { method: "heun2", steps: 100 } as const;
  const { x } = await flow.sample(n, { solver, sde, seed: 5 });
  const { logProb } = await flow.logProb(x, { solver: { method: "midpoint", steps: 40 } });
  const plain = await flow.sample(n, { solver: { method: "midpoint", steps: 40 }, logProb: true, seed: 6 });
  const average = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / n;
  // log p of its own samples has a deviation of about 1
  expect(Math.abs(average(logProb) - average(plain.logProb ?? logProb.fill(0)))).toBeLessThan(0.1);
  const back = await flow.push(x, { from: 1, to: 0, solver, sde, seed: 7 });
  for (const axis of [0, 1]) {
    const [mean, deviation] = meanAndDeviation(back.x, 2, axis);
    expect(Math.abs(mean)).toBeLessThan(0.08);
    expect(Math.abs(deviation - 1)).toBeLessThan(0.06);
  }
  flow.dispose();
});

test("a flow of its own gives the score, for any source", async ({ gpu }) => {
  const [n, dim, steps] = [65, 2, 4];
  const source: pf.Source = { distribution: "uniform", low: [-1, -1], high: [1, 2] };
  const velocity = pf.mlp({ dim, hidden: [8] });
  const flow = pf.Flow.create(gpu, { velocity, seed: 1, source });
  const weights = await strengthen(flow);
  const score = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [9], activation: "tanh" }), seed: 5 });
  const own = await strengthen(score);
  const [u, s] = [
    networkField(network(velocity, weights)),
    networkField(network(pf.mlp({ dim, hidden: [9], activation: "tanh" }), own)),
  ];
  const x = uniformArray(n * dim, -1, 1, 2);
  for (const method of methods) {
    const got = await flow.push(x, { solver: { method, steps }, sde: { diffusion: 0.8, score }, seed });
    const wanted = forRows(n, (i) =>
      solveSde(
        {
          diffusion: () => 0.8,
          drift(t, y) {
            const [a, b] = [u.velocity(t, y), s.velocity(t, y)];
            return Float64Array.from(a, (value, k) => value + 0.32 * at(b, k));
          },
          noise: (k) => normals(seedKey(seed), streams.diffusion, i, 1, dim, k),
        },
        rowOf(x, dim, i),
        timesOf(0, 1, steps),
        () => method === "euler",
      ),
    );
    expectClose(got.x, wanted, { relative: 2e-5, absolute: 2e-5 });
  }
  await expect(flow.sample(5, { sde: { diffusion: 1 } })).rejects.toThrow(
    /source is a Gaussian, but this flow's is uniform/,
  );
  for (const each of [flow, score]) each.dispose();
});

test("paths with noise that cannot be are refused in words", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [4] }) });
  const sample = (o: object) => flow.sample(3, o as pf.SampleOptions);
  const sde = { diffusion: 1 };
  await expect(sample({ sde: {} })).rejects.toThrow(/sde.diffusion is undefined/);
  await expect(sample({ sde: { diffusion: -1 } })).rejects.toThrow(/sde.diffusion is -1/);
  await expect(sample({ sde: { diffusion: (t: number) => 1 / (t - 1) } })).rejects.toThrow(/sde.diffusion\(0\) is -1/);
  await expect(sample({ sde: { ...sde, score: 3 } })).rejects.toThrow(/sde.score is 3/);
  const noFlow = { dim: 2, velocity: async (x: Float32Array) => x };
  await expect(sample({ sde: { ...sde, score: noFlow } })).rejects.toThrow(/sde.score is (?!a flow)/);
  await expect(sample({ sde: { ...sde, noise: 3 } })).rejects.toThrow(/noise/);
  await expect(sample({ sde, logProb: true })).rejects.toThrow(/log p along a path with noise/);
  await expect(sample({ sde, solver: { method: "rk4", steps: 5 } })).rejects.toThrow(/solver.method is "rk4"/);
  await expect(sample({ sde, solver: { method: "dopri5" } })).rejects.toThrow(/solver.method is "dopri5"/);
  const back = { from: 1, to: 0, solver: { method: "euler", steps: 5 }, sde } as const;
  await expect(flow.push(new Float32Array(2), back)).rejects.toThrow(/at t = 1 the velocity does not tell the score/);
  // by default it is the stochastic Heun method, with 100 steps of which the last has no corrector
  expect((await sample({ sde })).nfe).toBe(200);
  flow.dispose();
});

/** Weights that a training on `data` ends with, by a cosine from 1e-2. */
async function learn(
  flow: pf.Flow,
  data: Float32Array,
  o: Partial<pf.FlowMatchingOptions>,
): Promise<pf.TrainingStep[]> {
  const told: pf.TrainingStep[] = [];
  const learningRate = { peak: 1e-2, schedule: "cosine" } as const;
  const options = { steps: 300, batchSize: 256, logEvery: 300, learningRate, ...o };
  for await (const step of pf.trainFlowMatching(flow, data, options)) told.push(step);
  return told;
}

test("of bridges between independent normals the velocity and the score are learned, and paths by them keep the marginals", async ({
  gpu,
}) => {
  const bridge = 1.2;
  const create = () => pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [24, 24] }), seed: 2 });
  const [flow, score] = [create(), create()];
  const [data, source] = [normals(seedKey(1), 0, 0, 20_000, 1), normals(seedKey(2), 0, 0, 20_000, 1)];
  await learn(flow, data, { bridge, source });
  const [last] = await learn(score, data, { bridge, source, predict: "score" });
  // E|γs + z|² is below 1, what a network has that knows nothing
  expect(last?.loss ?? 1).toBeLessThan(0.95);
  const x = Float32Array.of(-1.5, -0.5, 0.4, 1.2);
  for (const t of [0.2, 0.5, 0.8]) {
    const variance = (1 - t) ** 2 + t ** 2 + bridge ** 2 * t * (1 - t);
    // E[ẋ_t | x_t] = Cov(ẋ_t, x_t)/Var(x_t)·x_t
    const rate = ((2 * t - 1) * (1 - bridge ** 2 / 2)) / variance;
    expectClose(
      await flow.velocity(x, t),
      x.map((value) => rate * value),
      { absolute: 0.2 },
    );
    expectClose(
      await score.velocity(x, t),
      x.map((value) => -value / variance),
      { absolute: 0.2 },
    );
  }
  const starts = source.slice(0, 2000);
  const solver = { method: "heun2", steps: 40 } as const;
  const { x: ends, saved } = await flow.push(starts, {
    solver,
    sde: { diffusion: bridge, score },
    seed: 3,
    saveAt: [0.5],
  });
  for (const [values, variance] of [
    [saved, 0.5 + bridge ** 2 / 4],
    [ends, 1],
  ] as const) {
    const [mean, deviation] = meanAndDeviation(values ?? ends, 1, 0);
    expect(Math.abs(mean)).toBeLessThan(0.12);
    expect(Math.abs(deviation / Math.sqrt(variance) - 1)).toBeLessThan(0.1);
  }
  for (const each of [flow, score]) each.dispose();
});

test("pairs of a Schrödinger bridge are those of entropic transport by twice its variance, and its trainings resume", async ({
  gpu,
}) => {
  const data = pf.toyData("moons", 300);
  const source = pf.toyData("8gaussians", 300, 1);
  const coupling = { method: "sinkhorn", group: 128, iterations: 30 } as const;
  const run = async (o: Partial<pf.FlowMatchingOptions>) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: o.resume ? 5 : 1 });
    const states: Uint8Array[] = [];
    const checkpoint = { every: 3, save: (bytes: Uint8Array) => void states.push(bytes) };
    const told = await learn(flow, data, { steps: 6, batchSize: 64, source, coupling, checkpoint, ...o });
    const weights = await flow.weights();
    flow.dispose();
    return { told, weights, states };
  };
  const costOf = ({ told }: { told: pf.TrainingStep[] }) => told[0]?.transportCost?.coupled ?? 0;
  const [narrow, wide] = [await run({ bridge: 0.5 }), await run({ bridge: 3 })];
  expect(costOf(narrow)).toBeLessThan(0.9 * costOf(wide));
  const [state = new Uint8Array()] = wide.states;
  expect((await run({ bridge: 3, resume: state })).weights).toEqual(wide.weights);
  await expect(run({ bridge: 2, resume: state })).rejects.toThrow(/bridge is 3 there and 2 here/);
  await expect(run({ bridge: 0.001 })).rejects.toThrow(/regularization 2·bridge²/);
});
