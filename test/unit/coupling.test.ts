import fc from "fast-check";
import { expect, test } from "vitest";
import type { Flow } from "../../src/flow/flow.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { normals, seedKey, streams, uniforms } from "../../src/random/philox.ts";
import { assign } from "../../src/train/assignment.ts";
import { coupledBatch } from "../../src/train/coupling.ts";
import type { TrainingPlan } from "../../src/train/plan.ts";
import { makeRowDraws } from "../../src/train/row-draws.ts";

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
});

const key = seedKey(11);
const source = sourceSpec({ distribution: "gaussian", mean: [1, -2, 0], std: [1, 2, 0.5] }, 3);
const data = Float32Array.from({ length: 3 * 501 }, (_, i) => Math.sin(i * i));

test("starts and times are the device's draws, and every group keeps its ends", () => {
  const first = 2 ** 32 - 5;
  const { starts, ends, times } = coupledBatch({ dim: 3, key, source, data }, first, 131);
  const noise = normals(key, streams.batchSource, first, 131, 3);
  expect(starts[4]).toBeCloseTo(-2 + 2 * (noise[4] ?? 0), 6);
  expect(times).toEqual(uniforms(key, streams.batchTime, first, 131, 1));
  // Groups of 64, 64 and 3: a batch that starts where a group does has the same ends in it.
  const later = coupledBatch({ dim: 3, key, source, data }, first + 64, 67);
  expect(later.ends).toEqual(ends.slice(3 * 64));
});

test("paired ends are nearer than random ones, and no exchange of two shortens them", () => {
  const { starts, ends } = coupledBatch({ dim: 3, key, source, data }, 0, 64);
  const squared = (i: number, j: number) =>
    [0, 1, 2].reduce((sum, k) => sum + ((starts[3 * i + k] ?? 0) - (ends[3 * j + k] ?? 0)) ** 2, 0);
  for (let i = 0; i < 64; i++) {
    for (let j = 0; j < i; j++) {
      // Rounding of sums of six squares below 100.
      expect(squared(i, i) + squared(j, j)).toBeLessThanOrEqual(squared(i, j) + squared(j, i) + 1e-9);
    }
  }
});

test("a uniform source couples too", () => {
  const box = sourceSpec({ distribution: "uniform", low: [0, 0, 0], high: [1, 2, 3] }, 3);
  const { starts } = coupledBatch({ dim: 3, key, source: box, data }, 0, 65);
  for (const [i, value] of starts.entries()) {
    expect(value).toBeGreaterThan(0);
    expect(value).toBeLessThanOrEqual(1 + (i % 3));
  }
});

test("with labels, ends are exchanged within their class alone, and dropped labels do not matter for it", () => {
  const labels = Uint32Array.from({ length: 501 }, (_, i) => i % 3);
  const plain = coupledBatch({ dim: 3, key, source, data: data.map((_, i) => Math.floor(i / 3)) }, 0, 200);
  const rows = data.map((_, i) => Math.floor(i / 3)); // every value tells its row
  const paired = coupledBatch({ dim: 3, key, source, data: rows, labels }, 0, 200);
  const dropped = coupledBatch({ dim: 3, key, source, data: rows, labels, labelDropout: 0.3 }, 0, 200);
  for (let i = 0; i < 200; i++) expect((paired.ends[3 * i] ?? -1) % 3).toBe(paired.labels?.[i]);
  expect(dropped.ends).toEqual(paired.ends);
  const lost = dropped.labels?.filter((label) => label === 0xffffffff).length ?? 0;
  expect(Math.abs(lost / 200 - 0.3)).toBeLessThan(0.1);
  expect(paired.cost.coupled).toBeLessThan(paired.cost.independent);
  expect(plain.cost.coupled).toBeLessThan(paired.cost.coupled);
});

test("shares and noise of rows are those of the device", () => {
  const rows = new Float32Array(3 * 20).fill(1);
  const options = {
    noise: Float32Array.from({ length: 20 }, (_, row) => row),
    rowWeights: new Float32Array(20).fill(1, 19),
  };
  const plan = { rows: 20, options } as unknown as TrainingPlan;
  const draws = makeRowDraws("coupling", {} as Flow, rows, plan);
  const { ends } = coupledBatch({ dim: 3, key, source, data: rows, draws }, 7, 33);
  const noise = normals(key, streams.rowNoise, 7, 33, 3).map((z) => 1 + 19 * z);
  // in another order: they have been paired
  const sorted = (values: Float32Array) => [...values].sort((a, b) => a - b);
  for (const [i, value] of sorted(noise).entries()) expect(sorted(ends)[i]).toBeCloseTo(value, 5);
});
