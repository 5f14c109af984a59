import { expect, test } from "vitest";
import { toyData } from "../../src/data/toy.ts";
import { normals, seedKey, streams, uniforms } from "../../src/random/philox.ts";
import { fitMixture } from "../../src/train/entry.ts";
import type { Mixture } from "../../src/train/fit-mixture.ts";

const rowsOf = (parts: { mean: number[]; scale: number[]; share: number }[], n: number) => {
  const z = normals(seedKey(7), streams.source, 0, n, 2);
  const u = uniforms(seedKey(8), streams.source, 0, n, 1);
  return Float64Array.from(z, (value, i) => {
    let left = u[Math.floor(i / 2)] as number;
    const part = parts.find(({ share }) => {
      left -= share;
      return left <= 0;
    });
    return (part?.mean[i % 2] as number) + (part?.scale[i % 2] as number) * value;
  });
};

/** Mean log-density of the rows, straight from the definition. */
function meanLogDensity({ means, scales, weights }: Mixture, rows: ArrayLike<number>, dim: number): number {
  const total = (weights as number[]).reduce((sum, weight) => sum + weight, 0);
  const n = rows.length / dim;
  let mean = 0;
  for (let i = 0; i < n; i++) {
    let density = 0;
    for (const [c, centre] of means.entries()) {
      let part = ((weights as number[])[c] as number) / total;
      for (let axis = 0; axis < dim; axis++) {
        const scale = (scales[c] as number[])[axis] as number;
        const z = ((rows[i * dim + axis] as number) - (centre[axis] as number)) / scale;
        part *= Math.exp(-0.5 * z * z) / (scale * Math.sqrt(2 * Math.PI));
      }
      density += part;
    }
    mean += Math.log(density) / n;
  }
  return mean;
}

test("a fitted mixture finds the Gaussians that rows were drawn from", async () => {
  const parts = [
    { mean: [-3, 1], scale: [0.5, 0.2], share: 0.5 },
    { mean: [2, 0], scale: [0.3, 1], share: 0.3 },
    { mean: [9, -4], scale: [2, 0.1], share: 0.2 },
  ];
  const { means, scales, weights } = await fitMixture(rowsOf(parts, 4001), 2, { components: 3, seed: 2 });
  const order = [0, 1, 2].sort((a, b) => (means[a]?.[0] as number) - (means[b]?.[0] as number));
  for (const [k, { mean, scale, share }] of parts.entries()) {
    const c = order[k] as number;
    expect(Math.abs((weights?.[c] as number) - share)).toBeLessThan(0.03);
    for (const axis of [0, 1]) {
      const spread = scale[axis] as number;
      expect(Math.abs((means[c]?.[axis] as number) - (mean[axis] as number))).toBeLessThan(0.15 * spread);
      expect((scales[c] as number[])[axis]).toBeCloseTo(spread, spread > 1 ? 0 : 1);
    }
  }
});

test("no round of a fit lowers the likelihood, and more components raise it", async () => {
  const rows = toyData("2spirals", 3000);
  let last = Number.NEGATIVE_INFINITY;
  for (const rounds of [1, 2, 4, 8, 16]) {
    const mean = meanLogDensity(await fitMixture(rows, 2, { components: 16, rounds }), rows, 2);
    expect(mean).toBeGreaterThan(last - 1e-9);
    last = mean;
  }
  expect(meanLogDensity(await fitMixture(rows, 2, { components: 64 }), rows, 2)).toBeGreaterThan(last + 0.1);
});

test("unbiased variances are those of samples: one Gaussian has the data's over n − 1, many keep more of held-out rows", async () => {
  const rows = toyData("moons", 41);
  const one = await fitMixture(rows, 2, { components: 1, unbiased: true });
  for (const axis of [0, 1]) {
    const column = Array.from({ length: 41 }, (_, i) => rows[2 * i + axis] as number);
    const mean = column.reduce((sum, value) => sum + value, 0) / 41;
    const squares = column.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    expect(((one.scales[0] as number[])[axis] as number) ** 2).toBeCloseTo(squares / 40, 10);
  }
  const [seen, heldOut] = [toyData("moons", 800, 1), toyData("moons", 4000, 2)];
  const [most, unbiased] = await Promise.all(
    [false, true].map((own) => fitMixture(seen, 2, { components: 80, unbiased: own })),
  );
  expect(meanLogDensity(unbiased as Mixture, heldOut, 2)).toBeGreaterThan(
    meanLogDensity(most as Mixture, heldOut, 2) + 0.02,
  );
  // as few rows as there may be leave some Gaussians
  expect((await fitMixture(seen.subarray(0, 16), 2, { components: 4, unbiased: true })).means.length).toBeGreaterThan(
    0,
  );
});

test("the same seed gives the same mixture, another seed another one", async () => {
  const rows = toyData("moons", 500);
  const [a, b, c] = await Promise.all([3, 3, 4].map((seed) => fitMixture(rows, 2, { components: 8, seed })));
  expect(a).toEqual(b);
  expect(c?.means).not.toEqual(a?.means);
});

test("equal rows give fewer components, none narrower than a hundredth of the rows' spread", async () => {
  const rows = Float32Array.from({ length: 400 }, (_, i) => (Math.floor(i / 2) % 2 === 0 ? -1 : 1));
  const { means, scales, weights } = await fitMixture(rows, 2, { components: 10 });
  expect(means.map(([x]) => x).sort()).toEqual([-1, 1]);
  for (const scale of scales.flat()) expect(scale).toBeCloseTo(0.01, 12);
  expect(weights).toEqual([0.5, 0.5]);
});

test("a fit says what it cannot take, and ends with the signal's reason", async () => {
  const rows = toyData("moons", 100);
  const refused = async (promise: Promise<unknown>, words: RegExp) =>
    expect(promise).rejects.toMatchObject({ code: "invalid-argument", message: expect.stringMatching(words) });
  await refused(fitMixture(rows, 2), /components is 64, but there are 100 rows.*pass 50 or fewer/);
  await refused(fitMixture(rows, 3), /rows is a Float32Array of 200, but it is a row-major \[n, 3\]/);
  await refused(fitMixture(Float32Array.of(1, Number.NaN), 1), /rows holds NaN at row 1, column 0/);
  await refused(fitMixture(Float32Array.of(1, 2, 1, 3), 2, { components: 1 }), /column 0 .* is 1 in all 2 rows/);
  await refused(fitMixture(rows, 2, { components: 3, unbiased: 1 } as object), /unbiased is 1/);
  await refused(fitMixture(rows, 2, { component: 3 } as object), /component.*components/);
  const controller = new AbortController();
  controller.abort(new Error("enough"));
  await expect(fitMixture(rows, 2, { components: 2, signal: controller.signal })).rejects.toThrow("enough");
});
