import fc from "fast-check";
import { expect, test } from "vitest";
import type { Flow } from "../../src/flow/flow.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { mlp } from "../../src/network/mlp.ts";
import { normals, philox, randomIndex, seedKey, streams } from "../../src/random/philox.ts";
import { contextFactors } from "../../src/train/coupled-pairs.ts";
import { couplingPlan } from "../../src/train/coupling.ts";
import type { OptimalTransport } from "../../src/train/coupling-options.ts";
import { ExactPairs, type PairSource } from "../../src/train/exact-pairs.ts";
import { PairSchedule } from "../../src/train/pair-schedule.ts";
import type { TrainingPlan } from "../../src/train/plan.ts";
import { makeRowDraws } from "../../src/train/row-draws.ts";
import { assign } from "../../src/transport/assignment.ts";
import { match } from "../../src/transport/match.ts";
import { Matching } from "../../src/transport/matching.ts";
import { assignment, squaredDistances } from "../oracle/transport.ts";

const total = (cost: Float64Array, columns: Iterable<number>, n: number) =>
  Array.from(columns).reduce((sum, j, i) => sum + (cost[i * n + j] ?? 0), 0);

/** Least cost over all n! permutations. */
function exhaustive(cost: Float64Array, n: number, chosen: number[] = []): number {
  if (chosen.length === n) return total(cost, chosen, n);
  let best = Number.POSITIVE_INFINITY;
  for (let j = 0; j < n; j++) if (!chosen.includes(j)) best = Math.min(best, exhaustive(cost, n, [...chosen, j]));
  return best;
}

test("the assignment is a permutation of least cost, whatever the costs", () => {
  const problem = fc
    .integer({ min: 1, max: 6 })
    .chain((n) =>
      fc.tuple(
        fc.constant(n),
        fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: n * n, maxLength: n * n }),
      ),
    );
  fc.assert(
    fc.property(problem, ([n, values]) => {
      const cost = Float64Array.from(values);
      const columns = assign(cost, n);
      expect(new Set(columns).size).toBe(n);
      // Sums of up to six numbers below 10 in another order.
      expect(total(cost, columns, n)).toBeCloseTo(exhaustive(cost, n), 12);
    }),
  );
});

test("ties and nothing at all are assigned too", () => {
  expect(new Set(assign(new Float64Array(25), 5)).size).toBe(5);
  expect(assign(new Float64Array(0), 0).length).toBe(0);
  expect([...assign(Float64Array.of(7), 1)]).toEqual([0]);
});

/** Points of which many are the same. */
const clustered = (n: number, dim: number, seed: number) =>
  normals(seedKey(seed), streams.source, 0, n, dim).map((value) => Math.round(2 * value) / 2);

for (const [name, n, dim, make] of [
  ["points in a plane", 301, 2, (seed: number) => normals(seedKey(seed), streams.source, 0, 301, 2)],
  ["points of which many are the same", 211, 2, (seed: number) => clustered(211, 2, seed)],
  [
    "points beside a large offset",
    127,
    3,
    (seed: number) => normals(seedKey(seed), streams.source, 0, 127, 3).map((x) => x + 4096),
  ],
] as const)
  test(`the assignment costs as much as that of the oracle: ${name}`, () => {
    const [starts, ends] = [make(1), make(2)];
    const { order, coupled, independent } = match({ starts, ends, width: dim, dim, runs: Uint32Array.of(n) });
    expect(new Set(order).size).toBe(n);
    const cost = squaredDistances(starts, ends, dim);
    const wanted = total(cost, assignment(cost, n), n);
    expect(total(cost, order, n) / wanted).toBeCloseTo(1, 12);
    expect(coupled / wanted).toBeCloseTo(1, 12);
    expect(independent).toBeCloseTo(total(cost, Array(n).keys(), n), 6);
  });

const key = seedKey(11);
const dim = 3;
const rows = 501;
const source = sourceSpec({ distribution: "gaussian", mean: [1, -2, 0], std: [1, 2, 0.5] }, dim);
const data = Float32Array.from({ length: dim * rows }, (_, i) => Math.sin(i * i));
const weighedContext = (context: Float32Array, width: number, weight: number) => {
  const factors = contextFactors(context, width, weight);
  return context.map((value, i) => value * (factors[i % width] ?? 0));
};
const pairsOf = (own: Partial<PairSource> = {}, size = 64, total = 9) =>
  new ExactPairs({ dim, key, starts: source, data, ...own }, size, new Matching(0), total);

/** Source samples of a group, from their formula. */
function startsOf(group: number, size: number): number[][] {
  const noise = normals(key, streams.batchSource, group * size, size, dim);
  const [mean, std] = [
    [1, -2, 0],
    [1, 2, 0.5],
  ];
  return Array.from({ length: size }, (_, i) =>
    Array.from({ length: dim }, (_, k) => (mean?.[k] ?? 0) + (std?.[k] ?? 0) * (noise[i * dim + k] ?? 0)),
  );
}

/** Rows that the samples of a group draw before they are exchanged. */
const drawnRows = (group: number, size: number) =>
  Array.from({ length: size }, (_, i) => {
    const words = new Uint32Array(4);
    philox(group * size + i, 0, 0, streams.batchIndex, key, words);
    return randomIndex(words[0] ?? 0, rows);
  });
const end = (row: number) => Array.from(data.subarray(row * dim, (row + 1) * dim));
const squared = (x: readonly number[], y: readonly number[]) =>
  x.reduce((sum, value, k) => sum + (value - (y[k] ?? 0)) ** 2, 0);
const sorted = (list: Iterable<number>) => [...list].sort((a, b) => a - b);

test("a group has the rows that its samples draw, exchanged so that no exchange of two shortens the paths", async () => {
  const { rows: paired, coupled, independent } = await pairsOf().group(2);
  const starts = startsOf(2, 64);
  const ends = Array.from(paired, end);
  expect(sorted(paired)).toEqual(sorted(drawnRows(2, 64)));
  const pair = (i: number, j: number) => squared(starts[i] ?? [], ends[j] ?? []);
  for (let i = 0; i < 64; i++)
    // rounding of sums of squares below 100 from f32
    for (let j = 0; j < i; j++) expect(pair(i, i) + pair(j, j)).toBeLessThanOrEqual(pair(i, j) + pair(j, i) + 1e-5);
  const mean = (own: readonly number[][]) =>
    starts.reduce((sum, start, i) => sum + squared(start, own[i] ?? []), 0) / starts.length;
  expect(coupled).toBeCloseTo(mean(ends), 5);
  expect(independent).toBeCloseTo(mean(drawnRows(2, 64).map(end)), 5);
  expect(coupled).toBeLessThan(0.8 * independent);
});

test("a group depends on its number alone, not on those that were made before", async () => {
  const one = pairsOf();
  for (const number of [0, 1, 2]) await one.group(number);
  one.forget(3);
  expect(await one.group(1)).toEqual(await pairsOf().group(1));
  expect(await pairsOf({}, 64, 2).group(1)).toEqual(await pairsOf().group(1));
});

test("where no thread can be started, pairs are made on this one, to the same bits", async () => {
  // the script of the threads is in the built package only
  const matching = new Matching(2);
  const threaded = new ExactPairs({ dim, key, starts: source, data }, 64, matching, 5);
  const groups = await Promise.all([0, 1, 2].map((number) => threaded.group(number)));
  expect(groups).toEqual(await Promise.all([0, 1, 2].map((number) => pairsOf().group(number))));
  matching.close();
});

test("a uniform source couples too", async () => {
  const box = sourceSpec({ distribution: "uniform", low: [0, 0, 0], high: [1, 2, 3] }, dim);
  const { coupled, independent } = await pairsOf({ starts: box }).group(0);
  expect(coupled).toBeLessThan(independent);
});

test("with labels, rows are exchanged within their class alone", async () => {
  const labels = Uint32Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? 0xffffffff : i % 3));
  const [plain, paired] = [await pairsOf({}, 200).group(0), await pairsOf({ labels }, 200).group(0)];
  const drawn = drawnRows(0, 200);
  expect(Array.from(paired.rows, (row) => labels[row])).toEqual(drawn.map((row) => labels[row]));
  expect(paired.coupled).toBeLessThan(paired.independent);
  expect(plain.coupled).toBeLessThan(paired.coupled);
});

test("groups draw rows by their shares", async () => {
  const options = { rowWeights: new Float32Array(rows).fill(1, rows - 7) };
  const draws = makeRowDraws("coupling", {} as Flow, data, { rows, options } as unknown as TrainingPlan);
  const { rows: paired } = await pairsOf({ draws }).group(0);
  expect(Math.min(...paired)).toBe(rows - 7);
});

test("the more contexts weigh, the closer are those between which rows are exchanged", async () => {
  const context = Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? 100 + Math.cos(i) : 7));
  const distance = async (weight: number) => {
    const { rows: paired, coupled } = await pairsOf({ context: weighedContext(context, 2, weight) }).group(0);
    const drawn = drawnRows(0, 64);
    const far = drawn.map((row, i) => ((context[2 * row] ?? 0) - (context[2 * (paired[i] ?? 0)] ?? 0)) ** 2);
    return { far: far.reduce((sum, value) => sum + value, 0) / 64, coupled };
  };
  const [light, middle, heavy] = [await distance(1e-6), await distance(10), await distance(1e8)];
  expect(light.coupled).toBeCloseTo((await pairsOf().group(0)).coupled, 4);
  expect(middle.far).toBeLessThan(0.3 * light.far);
  expect(middle.coupled).toBeGreaterThan(light.coupled);
  // each keeps its own, or one with the very same context
  expect(heavy.far).toBeLessThan(1e-5);
});

test("pairs with context minimise the sum that the documentation has", async () => {
  const context = Float32Array.from({ length: rows }, (_, i) => Math.cos(3 * i));
  const weight = 2.5;
  const { rows: paired } = await pairsOf({ context: weighedContext(context, 1, weight) }).group(1);
  const mean = context.reduce((sum, c) => sum + c, 0) / rows;
  const variance = context.reduce((sum, c) => sum + (c - mean) ** 2, 0) / rows;
  const starts = startsOf(1, 64);
  const drawn = drawnRows(1, 64);
  const cost = Float64Array.from({ length: 64 * 64 }, (_, at) => {
    const [i, j] = [Math.floor(at / 64), at % 64];
    const [own, other] = [drawn[i] ?? 0, drawn[j] ?? 0];
    const between = ((context[own] ?? 0) - (context[other] ?? 0)) ** 2;
    return squared(starts[i] ?? [], end(other)) + (weight / variance) * between;
  });
  const wanted = assignment(cost, 64);
  expect(
    total(
      cost,
      Array.from(paired, (row) => drawn.indexOf(row)),
      64,
    ) / total(cost, wanted, 64),
  ).toBeCloseTo(1, 6);
});

const schedules: [string, OptimalTransport, number][] = [
  ["each pair once", { method: "exact", group: 64, reuse: 1 }, 65],
  ["a pool", { method: "exact", group: 64, reuse: 3, pool: 300 }, 65],
  ["batches larger than groups", { method: "exact", group: 16, reuse: 2.5, pool: 160 }, 100],
  ["batches much smaller than groups", { method: "exact", group: 512, reuse: 8 }, 31],
];

for (const [name, options, batchSize] of schedules)
  test(`pairs are used as often as was asked for, from groups that are there: ${name}`, () => {
    const plan = couplingPlan("test", options, mlp({ dim, hidden: [4] }));
    const schedule = new PairSchedule(plan, batchSize);
    const steps = 400;
    let before = { first: 0, end: 0 };
    for (let step = 0; step < steps; step++) {
      const groups = schedule.groups(step);
      expect(groups.end).toBeGreaterThan(groups.first);
      expect(groups.end - groups.first).toBeLessThanOrEqual(schedule.slots);
      expect(groups.first).toBeGreaterThanOrEqual(before.first);
      expect(groups.end).toBeGreaterThanOrEqual(before.end);
      before = groups;
      const { first, at, room, drawn } = schedule.pairs(step);
      expect(at).toBe(first % room);
      expect(first).toBeGreaterThanOrEqual(groups.first * plan.group);
      expect(first + (drawn || batchSize)).toBeLessThanOrEqual(groups.end * plan.group);
    }
    const needed = (steps * batchSize) / (plan.group * plan.reuse);
    expect(before.end - needed).toBeGreaterThanOrEqual(0);
    expect(before.end - needed).toBeLessThan(1);
  });

test("steps that are repeated keep all of their groups", () => {
  const plan = couplingPlan("test", { method: "exact", group: 16, reuse: 2, pool: 32 }, mlp({ dim, hidden: [4] }));
  const schedule = new PairSchedule(plan, 100, 5);
  expect(schedule.slots).toBe(Math.ceil(500 / 32));
});

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;
for (const [name, options, message, context = 0] of [
  ["no method", loose({}), /coupling\.method is undefined/],
  ["an unknown method", { method: loose("auction") }, /coupling\.method is "auction"/],
  ["an unknown option", loose({ method: "exact", groups: 3 }), /did you mean "group"\?/],
  ["groups of one", { method: "exact", group: 1 }, /coupling\.group is 1, but it is an integer from 2 to 1024/],
  ["groups that take minutes", { method: "exact", group: 1025 }, /coupling\.group is 1025/],
  ["a pair used less than once", { method: "exact", reuse: 0.5 }, /coupling\.reuse is 0\.5/],
  ["a pool smaller than a group", { method: "exact", group: 64, pool: 63 }, /coupling\.pool is 63/],
  [
    "a pool of more groups than are looked through",
    { method: "exact", group: 2, pool: 2 ** 20 },
    /at most 65536 are kept/,
  ],
  ["a pool of pairs that are used once", { method: "exact", reuse: 1, pool: 999 }, /with reuse 1.*leave it out/],
  ["a weight of contexts that there are not", { method: "exact", contextWeight: 3 }, /has no context: leave it out/],
  ["pairs without regard to context", "optimal-transport", /has no contextWeight.*source of its own: pass/, 2],
  ["threads by halves", { method: "exact", threads: 0.5 }, /coupling\.threads is 0\.5/],
] as [string, "optimal-transport" | OptimalTransport, RegExp, number?][])
  test(`coupling refuses ${name}`, () => {
    expect(() => couplingPlan("test", options, mlp({ dim, hidden: [4], context }))).toThrow(message);
  });
