import * as pf from "pushforward";
import { straightness } from "pushforward/diagnostics";
import { distillationPairs, reflowPairs } from "pushforward/few-steps";
import { expect, expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const count = 65;
const dim = 2;
const conditional = pf.mlp({ dim, hidden: [9], classes: 2, context: 1 });
const normalization = { mean: [100, -1], scale: [0.5, 3] };
const labels = Uint32Array.from({ length: count }, (_, i) => i % 2);
const context = uniformArray(count, -1, 1, 3);
const given = { labels, context, seed: 4 };
const solver = { method: "rk4", steps: 8 } as const;

test("pairs of reflow are samples with where they started, in data units of f64, and their conditions", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: conditional, normalization, seed: 1 });
  const { data, source, coupling, ...conditions } = await reflowPairs(flow, count, { ...given, solver });
  const { x, x0 } = await flow.sample(count, { ...given, solver, output: "float64" });
  expect(coupling).toBe("paired");
  expect(conditions).toEqual({ labels, context });
  expect(data).toEqual(x);
  // where the flow's own space is a student's, it has the same x_0 of them
  expectClose(pf.normalize(source, normalization), x0 ?? [], { relative: 1e-7 });
  flow.dispose();
});

test("pairs of a flow with a transform lie in the space of the data, and a flow that is trained on them begins there", async ({
  gpu,
}) => {
  const transform: pf.Transform = [{ kind: "interval", low: 2, high: 3 }, { kind: "positive" }];
  const velocity = pf.mlp({ dim, hidden: [9] });
  const create = () => pf.Flow.create(gpu, { velocity, transform, seed: 1 });
  const [flow, student] = [create(), create()];
  const { data, source, ...pairs } = await reflowPairs(flow, count, { solver });
  const { x0 = new Float32Array() } = await flow.sample(count, { solver });
  const own = Float32Array.from(source, (x, i) => (i % 2 === 0 ? Math.log((x - 2) / (3 - x)) : Math.log(x)));
  expectClose(own, x0, { relative: 1e-6, absolute: 1e-7 });
  const steps: number[] = [];
  for await (const { step } of pf.trainFlowMatching(student, data, { source, ...pairs, steps: 2, logEvery: 1 }))
    steps.push(step);
  expect(steps).toEqual([1, 2]);
  for (const each of [flow, student]) each.dispose();
});

test("pairs of distillation are the pieces of paths, each with its times and conditions", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: conditional, normalization, seed: 1 });
  const pairs = await distillationPairs(flow, count, { ...given, solver: { method: "rk4", steps: 9 }, steps: 3 });
  const size = count * dim;
  const { x } = await flow.sample(count, { ...given, solver: { method: "rk4", steps: 9 }, output: "float64" });
  for (let k = 0; k < 3; k++) {
    const starts = pf.normalize(pairs.source.slice(k * size, (k + 1) * size), normalization);
    const times = { from: k / 3, to: (k + 1) / 3 };
    const pushed = await flow.push(starts, { labels, context, ...times, solver: { method: "rk4", steps: 3 } });
    const ends = pf.normalize(pairs.data.slice(k * size, (k + 1) * size), normalization);
    expectClose(ends, pushed.x, { relative: 1e-5, absolute: 1e-5 });
    const own = (values: ArrayLike<number> = []) => Array.from(values).slice(k * count, (k + 1) * count);
    expect(own(pairs.coupling.from)).toEqual(new Array(count).fill(Math.fround(k / 3)));
    expect(own(pairs.coupling.to)).toEqual(new Array(count).fill(Math.fround((k + 1) / 3)));
    expect(own(pairs.labels)).toEqual([...labels]);
    expect(own(pairs.context)).toEqual([...context]);
  }
  expect(pairs.data.slice(2 * size)).toEqual(x);
  flow.dispose();
});

test("one label and one row of context go for all pairs, as for all samples", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: conditional, seed: 1 });
  const one = { labels: Uint32Array.of(1), context: Float32Array.of(0.3) };
  const all = (n: number) => ({ labels: new Uint32Array(n).fill(1), context: new Float32Array(n).fill(0.3) });
  for (const n of [1, count]) {
    const each = { ...all(n), seed: 4, solver };
    expect(await reflowPairs(flow, n, { ...one, seed: 4, solver })).toEqual(await reflowPairs(flow, n, each));
    const { labels, context } = await distillationPairs(flow, n, { ...one, steps: 2 });
    expect({ labels, context }).toEqual(all(2 * n));
  }
  flow.dispose();
});

test("a student of one Euler step goes where its teacher's solver does", async ({ gpu }) => {
  // a quarter turn, whose paths are far from straight
  const code = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
  return array<f32, DIM>(-1.5707964 * x[1], 1.5707964 * x[0]);
}`;
  const teacher = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim, code }) });
  const student = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [] }), seed: 2 });
  const { data, ...pairs } = await distillationPairs(teacher, 500);
  const options = { ...pairs, steps: 300, batchSize: 128, learningRate: { peak: 0.1, schedule: "linear" } } as const;
  for await (const { loss } of pf.trainFlowMatching(student, data, options)) expect(Number.isFinite(loss)).toBe(true);
  // the map is linear, so that a layer can be it
  const { x } = await student.push(Float32Array.of(1, 0, 0, 2), { solver: { method: "euler", steps: 1 } });
  expectClose(x, [0, 1, -2, 0], { absolute: 0.01 });
  for (const each of [teacher, student]) each.dispose();
});

test("straightness is that of the closed form: of a turn, and of a flow whose paths are straight", async ({ gpu }) => {
  const turn = 1.2;
  const code = (text: string) => `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return ${text}; }`;
  const measured = async (text: string) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim, code: code(text) }), normalization });
    const { straightness: bends, displacement } = await straightness(flow, count, { steps: 32 });
    flow.dispose();
    return bends / displacement;
  };
  // E|u|² is turn²|x|², and |X_1 − X_0|² is 2(1 − cos turn)|x|²
  const chord = 2 * (1 - Math.cos(turn));
  const turned = await measured(`array<f32, DIM>(-${turn} * x[1], ${turn} * x[0])`);
  expectClose([turned], [(turn ** 2 - chord) / chord], { relative: 2e-3 });
  expect(await measured("array<f32, DIM>(1.0, -2.0)")).toBeLessThan(1e-9);
});

const loose = (value: unknown) => value as never;

test("what is wrong with what pairs are made of is told in words", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: conditional, seed: 1 });
  const blown = pf.wgslVelocity({
    dim,
    code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(exp(99.0 * x[0]), 0.0); }",
  });
  const wild = pf.Flow.create(gpu, { velocity: blown });
  const faults: [() => Promise<unknown>, RegExp][] = [
    [() => reflowPairs(loose({}), 9), /reflowPairs: the first argument is no Flow/],
    [
      () => reflowPairs(flow, 9, { context: loose("gpu") }),
      /context is "gpu", but it goes with the pairs: pass a Float32Array/,
    ],
    [() => reflowPairs(flow, 9, loose({ solvr: solver })), /did you mean "solver"/],
    [() => reflowPairs(wild, 99), /of 99 samples \d+ are not finite .*pass a finer solver/],
    [() => distillationPairs(flow, count, { ...given, steps: 0 }), /distillationPairs: steps is 0/],
    [() => distillationPairs(flow, count, { ...given, solver, steps: 3 }), /saveAt|grid/],
    [() => straightness(loose(undefined), 9), /straightness: the first argument is no Flow/],
    [() => straightness(flow, 9, { steps: 0.5 }), /steps is 0\.5/],
  ];
  for (const [run, message] of faults) await expect(run()).rejects.toThrow(message);
  for (const each of [flow, wild]) each.dispose();
});
