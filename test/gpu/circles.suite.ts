import * as pf from "pushforward";
import { pit, uniformity } from "pushforward/diagnostics";
import { constrain, unconstrain } from "pushforward/transforms";
import { type Field, logLikelihoodRows, pushRows, timesOf } from "../oracle/ode.ts";
import { toData } from "../oracle/transforms.ts";
import { at, type Vector } from "../oracle/vectors.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, strengthen, uniformArray } from "./inputs.ts";
import { savedAndSpread } from "./saved-and-spread.ts";

/*
 * Angles: a field with the period of a turn carries densities of the circle, so nothing here is said by sums over windings; the flow's own
 * space is in quarter turns.
 */
const n = 67;
const solver = { method: "midpoint", steps: 6 } as const;
const tolerance = { relative: 1e-5, absolute: 1e-5 };
const degrees = { kind: "circular", period: 360 } as const;
const transform = [{ kind: "circular", period: 6, low: -2 }, null] as const;
const normalization = { mean: [9, 0.5], scale: [7, 2] };
const circular = { axes: [0] };

/** r(1 − 4r²) of the part r of a turn from −½ to ½: periodic with its slope, and made of sums and products, in which adapters agree. */
const turnsOf = (x: Vector) => at(x, 0) / 4 - Math.round(at(x, 0) / 4);
const wave = (r: number) => r * (1 - 4 * r * r);
/** A field of an angle and a number, with the period 4 in the angle. */
const field: Field = {
  dim: 2,
  velocity: (t, x) => [
    0.6 + 4 * wave(turnsOf(x)) * (1 - 0.5 * t) + 0.2 * at(x, 1),
    3 * wave(turnsOf(x)) - 0.3 * at(x, 1),
  ],
  divergence: (t, x) => (1 - 12 * turnsOf(x) ** 2) * (1 - 0.5 * t) - 0.3,
};
const velocity = pf.wgslVelocity({
  dim: 2,
  code: `fn turns(x: f32) -> f32 { return 0.25 * x - round(0.25 * x); }
fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
  let r = turns(x[0]);
  let wave = r * (1.0 - 4.0 * r * r);
  return array<f32, DIM>(0.6 + 4.0 * wave * (1.0 - 0.5 * t) + 0.2 * x[1], 3.0 * wave - 0.3 * x[1]);
}
fn divergence(t: f32, x: array<f32, DIM>) -> f32 {
  let r = turns(x[0]);
  return (1.0 - 12.0 * r * r) * (1.0 - 0.5 * t) - 0.3;
}`,
});
const sourceLogDensity = (x: Vector) => -Math.log(4) - at(x, 1) ** 2 / 2 - Math.log(2 * Math.PI) / 2;
/** Of the transform and the normalization, which a circle has none of. */
const gain = Math.log(4 / 6) - Math.log(2);

/** Points of the flow's own space whose angles are within a turn. */
const own = uniformArray(2 * n, -2, 2, 5);
const dataOf = (x: Vector) =>
  forRows(x.length / 2, (i) => toData([at(x, 2 * i), 0.5 + 2 * at(x, 2 * i + 1)], transform));
/** How far angles of this period are from each other. */
const apart = (a: number, b: number, period: number) => Math.abs(a - b - period * Math.round((a - b) / period));

test("log p of angles agrees with f64, once around and again, from arrays and buffers", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity, transform, normalization });
  const data = Float64Array.from(dataOf(own));
  const { logProb } = logLikelihoodRows(field, own, "midpoint", timesOf(1, 0, 6), sourceLogDensity);
  const wanted = logProb.map((value) => value + gain);
  expectClose((await flow.logProb(data, { solver, chunkSize: 40 })).logProb, wanted, tolerance);
  const around = data.map((value, i) => (i % 2 === 0 ? value + 6 * ((i % 7) - 3) : value));
  expectClose((await flow.logProb(around, { solver })).logProb, wanted, tolerance);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const buffer = gpu.device.createBuffer({ size: around.length * 4, usage, mappedAtCreation: true });
  new Float32Array(buffer.getMappedRange()).set(around);
  buffer.unmap();
  expectClose((await flow.logProb(buffer, { solver })).logProb, wanted, { relative: 2e-5, absolute: 2e-5 });
  buffer.destroy();
});

test("samples of angles are within a turn, with the log p of f64, and start uniformly", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity, transform, normalization });
  const options = { solver, seed: 3, logProb: true, saveAt: [0.5] };
  const { x, x0 = new Float32Array(), logProb, saved = x } = await flow.sample(n, options);
  const from = Array.from({ length: n }, (_, i) => sourceLogDensity(x0.subarray(2 * i, 2 * i + 2)));
  const pushed = pushRows(field, x0, "midpoint", timesOf(0, 1, 6), Float64Array.from(from));
  for (const [k, value] of dataOf(pushed.x).entries())
    if (k % 2 === 0) expect(apart(x[k] ?? Number.NaN, value, 6) < 1e-4).toBe(true);
    else expectClose([x[k] ?? Number.NaN], [value], tolerance);
  expectClose(
    logProb ?? x,
    pushed.logProb.map((value) => value + gain),
    tolerance,
  );
  const double = await flow.sample(n, { ...options, output: "float64" });
  for (let k = 0; k < 2 * n; k += 2)
    for (const value of [x[k], saved[k], double.x[k]]) expect((value ?? 5) >= -2 && (value ?? 5) < 4).toBe(true);
  // 20 parts of a turn as often as each other: χ² of 19 degrees, below its quantile of 1 − 10⁻⁶
  const many = await flow.sample(20_000, { solver: { method: "euler", steps: 1 }, to: 0 });
  const counts = new Array<number>(20).fill(0);
  for (let k = 0; k < many.x.length; k += 2) {
    const part = Math.floor((((many.x[k] ?? 0) + 2) / 6) * 20);
    counts[part] = (counts[part] ?? 0) + 1;
  }
  expect(counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0) < 61.5).toBe(true);
});

test("the density of any network integrates to 1 around the circle: MLP, residual, with its own features", async ({
  gpu,
}) => {
  const own = pf.network({ dim: 1 }, ({ x, t }) => {
    const inputs = pf.concat(pf.fourier(x, { frequencies: [[0.25], [-0.75]] }), t);
    return pf.linear(pf.activate(pf.linear(inputs, 9, "in"), "tanh"), 1, "out");
  });
  for (const velocity of [
    pf.mlp({ dim: 1, hidden: [12, 12], circular: { axes: [0], harmonics: 3 } }),
    pf.residualMlp({ dim: 1, width: 8, blocks: 1, circular }),
    own,
  ]) {
    using flow = pf.Flow.create(gpu, { velocity, seed: 2, transform: [degrees] });
    // an output that is 15 times what it is at first
    const strong = Object.entries(await flow.weights()).map(([name, values]) => [
      name,
      /^(net\.4|out)\.weight/.test(name) ? values.map((w) => 15 * w) : values,
    ]);
    flow.setWeights(Object.fromEntries(strong));
    const { mass, density } = await flow.densityGrid({
      box: [[-90, 270]],
      cells: [720],
      solver: { method: "rk4", steps: 40 },
    });
    expectClose([mass], [1], { relative: 1e-4 });
    // far from uniform
    expect(Math.max(...density) > 1.5 / 360).toBe(true);
  }
});

/** log I_0(κ), by the mean of exp(κ cos θ), which equal steps around a circle give to all digits. */
const logBessel = (kappa: number) => {
  const parts = Array.from({ length: 400 }, (_, k) => Math.exp(kappa * (Math.cos((k * Math.PI) / 200) - 1)));
  return kappa + Math.log(parts.reduce((sum, part) => sum + part, 0) / 400);
};
/** A mixture of von Mises distributions, of which one lies over the cut; angles in degrees. */
const vonMises = (angle: number) =>
  [
    { share: 0.6, mean: 355, kappa: 8 },
    { share: 0.4, mean: 130, kappa: 3 },
  ].reduce((sum, { share, mean, kappa }) => {
    const log = kappa * Math.cos(((angle - mean) * Math.PI) / 180) - logBessel(kappa) - Math.log(360);
    return sum + share * Math.exp(log);
  }, 0);
const cells = 720;
const densities = Array.from({ length: cells }, (_, k) => vonMises((k + 0.5) / 2));
/** Quantiles of the mixture. */
function quantiles(count: number): Float32Array {
  const rows = new Float32Array(count);
  let before = 0;
  let cell = 0;
  for (let i = 0; i < count; i++) {
    const level = (i + 0.5) / count;
    while (cell < cells - 1 && before + (densities[cell] ?? 0) / 2 < level) before += (densities[cell++] ?? 0) / 2;
    rows[i] = (cell + (level - before) / ((densities[cell] ?? 1) / 2)) / 2;
  }
  return rows;
}

test("flow matching on a circle learns a von Mises mixture over the cut: its density, its samples, uniform transforms", async ({
  gpu,
}) => {
  const data = quantiles(4000);
  using flow = pf.Flow.create(gpu, {
    velocity: pf.mlp({ dim: 1, hidden: [32, 32], activation: "tanh", circular }),
    seed: 1,
    transform: [degrees],
    normalization: pf.fitNormalization(unconstrain(data, [degrees]), 1),
  });
  const learningRate = { schedule: "cosine", peak: 2e-2 } as const;
  const options = { steps: 900, batchSize: 512, learningRate, ema: 0.99, seed: 2 };
  for await (const _ of pf.trainFlowMatching(flow, data, options)) void _;
  const { mass, logProb } = await flow.densityGrid({
    box: [[0, 360]],
    cells: [cells],
    solver: { method: "rk4", steps: 40 },
  });
  expectClose([mass], [1], { relative: 1e-4 });
  const divergence = densities.reduce((sum, p, k) => sum + (p * (Math.log(p) - (logProb[k] ?? 0))) / 2, 0);
  expect(divergence < 0.01).toBe(true);
  // the density is continuous where angles begin anew
  expect(Math.abs((logProb[0] ?? 0) - (logProb[cells - 1] ?? 9)) < 0.05).toBe(true);
  const { x } = await flow.sample(20_000, { solver });
  const counts = new Array<number>(36).fill(0);
  for (const angle of x) counts[Math.floor(angle / 10)] = (counts[Math.floor(angle / 10)] ?? 0) + 1;
  const distance = counts.reduce((sum, count, part) => {
    const mass = densities.slice(part * 20, part * 20 + 20).reduce((all, p) => all + p / 2, 0);
    return sum + Math.abs(count / x.length - mass) / 2;
  }, 0);
  expect(distance < 0.05).toBe(true);
  const { coordinates, radius } = await pit(
    flow,
    data.filter((_, i) => i % 10 === 0),
    { solver },
  );
  expect(radius).toBe(undefined);
  expect(uniformity(coordinates).ks.pValue > 1e-3).toBe(true);
});

test("pairs are joined by the shorter arc, and axes that are numbers by straight lines", async ({ gpu }) => {
  const velocity = pf.mlp({ dim: 2, hidden: [4], circular, initial: { output: "zero" } });
  using flow = pf.Flow.create(gpu, { velocity, transform: [degrees, null] });
  const options = { steps: 1, batchSize: 33, logEvery: 1 };
  const lossOf = async (data: number[], source: number[], more = {}) => {
    flow.setWeights(await pf.Flow.create(gpu, { velocity }).weights());
    const given = { ...options, ...more, source: Float32Array.from(source) };
    for await (const { loss } of pf.trainFlowMatching(flow, Float32Array.from(data), given)) return loss;
  };
  // of a field that is 0 the loss is the mean square of the targets, in quarter turns
  expectClose([(await lossOf([350, 7], [10, 2])) ?? 0], [((20 / 90) ** 2 + 25) / 2], { relative: 1e-5 });
  expectClose([(await lossOf([10, 2], [350, 7])) ?? 0], [((20 / 90) ** 2 + 25) / 2], { relative: 1e-5 });
  expectClose([(await lossOf([200, 2], [40, 2])) ?? 0], [(160 / 90) ** 2 / 2], { relative: 1e-5 });
  const weighted = { weighting: () => 3 };
  expectClose([(await lossOf([350, 7], [10, 2], weighted)) ?? 0], [(3 * ((20 / 90) ** 2 + 25)) / 2], {
    relative: 1e-5,
  });
});

test("maximum likelihood, files, threads, moments, the flux and noise by neighbours know circles", async ({ gpu }) => {
  const spaces = [{ kind: "positive" }, degrees] as const;
  const velocity = pf.mlp({ dim: 2, hidden: [6], circular: { axes: [1] } });
  using flow = pf.Flow.create(gpu, { velocity, seed: 3, transform: spaces });
  await strengthen(flow);
  const options = { solver, seed: 7, logProb: true };
  const { x } = await savedAndSpread(gpu, flow, 300, options);
  const { loss } = await pf.likelihoodGradients(flow, x, { solver, divergence: "exact" });
  const { mean } = await flow.meanLogProb(x, { solver });
  expectClose([loss], [-mean], { relative: 1e-5 });
  const rows = Float64Array.of(1.5, 10, 0.7, 359.5);
  const { velocity: u } = await flow.flux(rows, 0.6, { solver });
  const free = unconstrain(rows, spaces);
  const v = await flow.velocity(Float32Array.from(free), 0.6);
  expectClose(
    u,
    Array.from(v, (value, i) => value * (i % 2 === 0 ? (rows[i] ?? 0) : 90)),
    tolerance,
  );
  expectClose(
    constrain(
      free.map((value, i) => value + 8 * (i % 2)),
      spaces,
    ),
    rows,
    tolerance,
  );
  const before = await flow.meanLogProb(x.subarray(0, 200), { solver });
  const training = { steps: 8, batchSize: 64, learningRate: 0.02, solver: { method: "midpoint", steps: 2 } as const };
  const noise = { neighbour: 3, factor: 0.1 };
  for await (const _ of pf.trainMaximumLikelihood(flow, Float32Array.from(rows), { ...training, noise: 0.1 })) void _;
  for await (const _ of pf.trainMaximumLikelihood(flow, x.subarray(0, 200), { ...training, noise })) void _;
  expect((await flow.meanLogProb(x.subarray(0, 200), { solver })).mean).not.toBe(before.mean);
});

test("what is no circle's is told in words: fields that jump, sources, paths, pairs, boxes, scores", async ({
  gpu,
}) => {
  const message = (work: () => unknown) =>
    Promise.resolve()
      .then(work)
      .then(
        () => "nothing was thrown",
        (error: Error) => error.message,
      );
  const net = pf.mlp({ dim: 2, hidden: [4], circular });
  const make = (options: Partial<pf.FlowOptions>) =>
    message(() => pf.Flow.create(gpu, { velocity: net, transform: [degrees, null], ...options }));
  expect(await make({})).toBe("nothing was thrown");
  expect(await make({ velocity: pf.mlp({ dim: 2, hidden: [4] }) })).toMatch(
    /takes axis 0 as a number, but transform has it circular.* circular: \{ axes: \[0\] \}/,
  );
  expect(await make({ transform: [null, degrees] })).toMatch(/takes axis 1 as a number/);
  const featured = pf.mlp({ dim: 2, hidden: [4], circular, features: { fourier: { count: 2 } } });
  expect(await make({ velocity: featured })).toMatch(/takes axis 0 as a number.* and no features/);
  const third = pf.network({ dim: 2 }, ({ x }) =>
    pf.linear(pf.concat(pf.fourier(pf.slice(x, 0, 1), { frequencies: [[1 / 3]] }), pf.slice(x, 1, 2)), 2, "out"),
  );
  expect(await make({ velocity: third })).toMatch(/takes axis 0 as a number/);
  expect(await make({ source: { distribution: "gaussian", std: [1, 1] } })).toMatch(
    /standard deviation of 1 at axis 0, but that axis is circular/,
  );
  expect(await make({ source: { distribution: "uniform", low: [-1, 0], high: [1, 1] } })).toMatch(
    /width of 2 at axis 0/,
  );
  expect(await make({ source: { distribution: "uniform", low: [-2, 0], high: [2, 1] } })).toBe("nothing was thrown");
  expect(await make({ source: { distribution: "mixture", means: [[0, 0]], scales: [1] } })).toMatch(/deviation of 1/);
  expect(await make({ transform: [{ kind: "circular", period: 0 }, null] })).toMatch(/period is 0, but it is above 0/);
  expect(await make({ transform: [{ kind: "circular" } as never, null] })).toMatch(/transform\[0\]\.period/);
  expect(await message(() => pf.mlp({ dim: 2, hidden: [4], circular: { axes: [2] } }))).toMatch(/axes/);
  expect(await message(() => pf.mlp({ dim: 2, hidden: [4], circular: { axes: [] } }))).toMatch(/axes is \[\]/);
  expect(await message(() => pf.mlp({ dim: 2, hidden: [4], circular: { axes: [0], harmonics: 0 } }))).toMatch(
    /harmonics/,
  );
  using flow = pf.Flow.create(gpu, { velocity: net, transform: [degrees, null] });
  const train = (options: object) =>
    message(async () => {
      for await (const _ of pf.trainFlowMatching(flow, new Float32Array(6), { steps: 1, ...options })) void _;
    });
  expect(await train({ path: "cosine" })).toMatch(/path is "cosine", but transform has circular axes/);
  expect(await train({ coupling: "optimal-transport" })).toMatch(
    /coupling pairs rows by their distances, but transform has circular axes/,
  );
  const box: [number, number][] = [
    [0, 720],
    [0, 1],
  ];
  expect(await message(() => flow.densityGrid({ box, cells: [4, 4] }))).toMatch(/circular with the period 360/);
  expect(await message(() => flow.sample(3, { sde: { diffusion: 1 } }))).toMatch(/uniform on circles/);
  expect(await message(() => flow.logProb(Float32Array.of(Infinity, 0)))).toMatch(/as a finite angle/);
  expect((await flow.logProb(Float32Array.of(Number.NaN, 0))).nonFinite).toBe(1);
});
