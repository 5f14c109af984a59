import * as pf from "pushforward";
import { gaussian } from "../oracle/fields.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, rowOf, uniformArray } from "./inputs.ts";

/** p_t = N(t·mean, (1 − t)² + t² s²) per axis. */
const field = gaussian([1, -0.5], 0.5);
const solver = { method: "rk4", steps: 40 } as const;
const density = (t: number, x: ArrayLike<number>) =>
  Math.exp(field.logDensity?.(t, Float64Array.from(x)) ?? Number.NaN);

const flowOf = (gpu: pf.Gpu, normalization?: pf.Normalization) =>
  pf.Flow.create(gpu, {
    velocity: pf.wgslVelocity({ dim: 2, code: field.wgsl ?? "" }),
    ...(normalization && { normalization }),
  });

test("flux is density times velocity of the closed form, in data units too", async ({ gpu }) => {
  const n = 65;
  const t = 0.6;
  const x = uniformArray(2 * n, -1.5, 1.5, 1);
  const wanted = forRows(n, (i) =>
    Float64Array.from(field.velocity(t, rowOf(x, 2, i)), (u) => u * density(t, rowOf(x, 2, i))),
  );
  const flow = flowOf(gpu);
  const plain = await flow.flux(x, t, { solver });
  expectClose(
    plain.density,
    forRows(n, (i) => density(t, rowOf(x, 2, i))),
    { relative: 1e-5, absolute: 1e-6 },
  );
  expectClose(plain.flux, wanted, { relative: 1e-5, absolute: 1e-5 });
  flow.dispose();
  // y = mean + scale·x: p_y = p_x / (scale_0 scale_1), u_y = scale·u_x
  const scale = [2, 0.25];
  const mean = [10, -1];
  const scaled = flowOf(gpu, { mean, scale });
  const y = x.map((value, k) => (mean[k % 2] ?? 0) + (scale[k % 2] ?? 1) * value);
  const moved = await scaled.flux(y, t, { solver });
  expectClose(
    moved.flux,
    wanted.map((j, k) => (j * (scale[k % 2] ?? 1)) / 0.5),
    { relative: 1e-4, absolute: 1e-4 },
  );
  scaled.dispose();
});

test("continuity: the residual falls with the square of the cells' size, and the mass of a box changes by what leaves it", async ({
  gpu,
}) => {
  const flow = flowOf(gpu);
  const box: [number, number][] = [
    [-1, 1.5],
    [-1.2, 0.8],
  ];
  const at = (cells: number[]) => flow.continuity({ t: 0.5, box, cells, solver, timeStep: 0.02 });
  const coarse = await at([10, 8]);
  const fine = await at([40, 32]);
  expect(fine.residual.length).toBe(40 * 32);
  // a quarter of the size: a sixteenth, plus the time difference's own error
  expect(fine.max).toBeLessThan(coarse.max / 8);
  expect(fine.rms).toBeLessThan(0.01 * fine.scale);
  expect(Math.abs(fine.imbalance)).toBeLessThan(0.005 * Math.abs(fine.outflow) + 1e-3);
  expect(Math.abs(fine.massRate)).toBeGreaterThan(0.05);
  // the mass itself, by the same rule from the closed form
  let mass = 0;
  for (let i = 0; i < 40; i++)
    for (let j = 0; j < 32; j++) mass += density(0.5, [-1 + ((i + 0.5) * 2.5) / 40, -1.2 + ((j + 0.5) * 2) / 32]);
  expectClose([fine.mass], [(mass * 2.5 * 2) / (40 * 32)], { relative: 1e-5, absolute: 1e-6 });
  for (const t of [0, 1]) {
    const end = await flow.continuity({ t, box, cells: [40, 32], solver, timeStep: 0.02 });
    expect(end.rms).toBeLessThan(0.03 * end.scale);
  }
  flow.dispose();
});

test("continuity notices a divergence that does not belong to the velocity", async ({ gpu }) => {
  const code = (field.wgsl ?? "").replace("fn divergence", "fn true_divergence");
  const wrong = `${code}\nfn divergence(t: f32, x: array<f32, DIM>) -> f32 { return true_divergence(t, x) + 1.0; }`;
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code: wrong }) });
  const box: [number, number][] = [
    [-1, 1],
    [-1, 1],
  ];
  const { rms, scale } = await flow.continuity({ t: 0.5, box, cells: [20, 20], solver });
  expect(rms).toBeGreaterThan(0.2 * scale);
  const error = await flow
    .continuity({
      t: 0.5,
      box: [
        [1, 0],
        [0, 1],
      ],
      cells: [2, 2],
    })
    .catch((e: Error) => e.message);
  expect(/box\[0\] is \[1, 0\]/.test(String(error))).toBe(true);
  flow.dispose();
});

test("densityGrid: log p of the cells' centres, and the density of a trained shape integrates to one", async ({
  gpu,
}) => {
  const flow = flowOf(gpu);
  const box: [number, number][] = [
    [-2.5, 4.5],
    [-4, 3],
  ];
  const grid = await flow.densityGrid({ box, cells: [70, 70], at: 0.5, solver });
  expect(grid.volume).toBeCloseTo(0.01, 10);
  const centres = forRows(70 * 70, (i) => [-2.45 + 0.1 * Math.floor(i / 70), -3.95 + 0.1 * (i % 70)]);
  const wanted = forRows(70 * 70, (i) => density(0.5, centres.slice(2 * i, 2 * i + 2)));
  expectClose(grid.density, wanted, { absolute: 1e-5 });
  expect(Math.abs(grid.mass - 1)).toBeLessThan(1e-4);
  flow.dispose();
  // a network: its density is known to nobody, but its integral is
  const network = pf.Flow.create(gpu, {
    velocity: pf.mlp({ dim: 2, hidden: [8, 8], classes: 2 }),
    seed: 4,
    source: { distribution: "gaussian", mean: [0.5, 0], std: [0.5, 0.8] },
    normalization: { mean: [1, 2], scale: [2, 0.5] },
  });
  const wide: [number, number][] = [
    [-14, 16],
    [-3, 7],
  ];
  const solved = { box: wide, ...solver40 };
  const { mass, logProb } = await network.densityGrid({ ...solved, cells: [60, 60], label: 1 });
  expect(Math.abs(mass - 1)).toBeLessThan(1e-3);
  const first = await network.logProb(Float64Array.of(-13.75, -3 + 1 / 12), { labels: Uint32Array.of(1), ...solver40 });
  expect(first.logProb[0]).toBe(logProb[0]);
  network.dispose();
});

const solver40 = { solver: { method: "midpoint", steps: 40 } } as const;

test("continuity of a flow with classes and context is that of one label and one context", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, {
    velocity: pf.mlp({ dim: 1, hidden: [8, 8], classes: 2, context: 1, initial: { output: 1 } }),
    seed: 4,
    source: { distribution: "gaussian", std: [0.8] },
  });
  const box: [number, number][] = [[-1, 2]];
  const given = { label: 1, context: Float32Array.of(0.7) };
  const at = (cells: number) => flow.continuity({ t: 0.5, box, cells: [cells], solver, timeStep: 0.02, ...given });
  const [coarse, fine] = [await at(24), await at(48)];
  expect(fine.rms).toBeLessThan(0.35 * coarse.rms);
  expect(fine.rms).toBeLessThan(0.02 * fine.scale);
  const grid = await flow.densityGrid({ at: 0.5, box, cells: [48], solver, ...given });
  expect(fine.mass).toBeCloseTo(grid.mass, 6);
  const other = await flow.continuity({ t: 0.5, box, cells: [48], solver, timeStep: 0.02, ...given, label: 0 });
  expect(other.mass).not.toBeCloseTo(fine.mass, 5);
  const { label: _, ...unlabelled } = given;
  const refused = (o: object) =>
    flow.continuity({ t: 0.5, box, cells: [4], ...o } as never).catch((e: Error) => e.message);
  expect((await flow.continuity({ t: 0.5, box, cells: [48], solver, timeStep: 0.02, ...unlabelled })).unfinished).toBe(
    0,
  );
  expect(await refused({ label: 2, context: given.context })).toMatch(/label is 2, but it is an integer from 0 to 1/);
  expect(await refused({ label: 1 })).toMatch(/context/);
});

test("continuity of a flow with a transform names a box that reaches beyond the space of the data", async ({ gpu }) => {
  using flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [8] }), transform: [{ kind: "positive" }] });
  const at = (low: number) => flow.continuity({ t: 0.5, box: [[low, 3]], cells: [16], solver });
  for (const low of [-1, 0])
    expect(await at(low).catch((e: Error) => e.message)).toMatch(/^continuity: box is .*, but .*: pass a box inside/);
  const { rms, scale } = await at(0.2);
  expect(rms).toBeLessThan(0.1 * scale);
});
