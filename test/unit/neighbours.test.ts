import { expect, test } from "vitest";
import { nearestNeighbourDistances } from "../../src/data/neighbours.ts";
import { normals, seedKey, streams } from "../../src/random/philox.ts";

/** By looking at every pair. */
function byAllPairs(data: Float32Array, dim: number, k: number): number[] {
  const n = data.length / dim;
  return Array.from({ length: n }, (_, i) => {
    const distances = Array.from({ length: n }, (_, j) =>
      Math.hypot(
        ...Array.from({ length: dim }, (_, axis) => (data[i * dim + axis] ?? 0) - (data[j * dim + axis] ?? 0)),
      ),
    );
    distances.splice(i, 1);
    return distances.sort((a, b) => a - b)[k - 1] ?? Number.NaN;
  });
}

const cloud = (n: number, dim: number) => normals(seedKey(3), streams.source, 0, n, dim);

for (const [name, data, dim, k] of [
  ["one dimension", cloud(331, 1), 1, 3],
  ["two dimensions", cloud(401, 2), 2, 8],
  ["five dimensions", cloud(257, 5), 5, 1],
  ["sixteen dimensions", cloud(97, 16), 16, 8],
  ["no more rows than it takes", cloud(9, 2), 2, 8],
  ["two rows", cloud(2, 3), 3, 1],
  ["a grid full of ties", cloud(500, 2).map((value) => Math.round(2 * value)), 2, 8],
  ["a column without spread", cloud(200, 2).map((value, i) => (i % 2 === 0 ? value : 7)), 2, 4],
  ["rows that are all alike", new Float32Array(300), 3, 5],
  ["one far row", Float32Array.of(...cloud(100, 2), 1e6, -1e6), 2, 8],
] as const)
  test(`the distance to the k-th nearest row is what all pairs say: ${name}`, () => {
    const got = nearestNeighbourDistances(data, dim, k);
    for (const [i, wanted] of byAllPairs(data, dim, k).entries())
      expect(Math.abs((got[i] ?? 0) - wanted)).toBeLessThanOrEqual(1e-12 * wanted);
  });

test("30,000 rows of two columns take far less than their pairs would", () => {
  const data = cloud(30_000, 2);
  const started = performance.now();
  const distances = nearestNeighbourDistances(data, 2, 8);
  // a tenth of a second alone on a core; 9e8 distances would take ten
  expect(performance.now() - started).toBeLessThan(3000);
  expect(distances.every((distance) => distance > 0)).toBe(true);
});
