import { expect, test } from "vitest";
import type { Flow } from "../../src/flow/flow.ts";
import { philox, seedKey, streams } from "../../src/random/philox.ts";
import type { TrainingPlan } from "../../src/train/plan.ts";
import { drawnRow, makeRowDraws } from "../../src/train/row-draws.ts";

type Options = Pick<TrainingPlan["options"], "noise" | "rowWeights">;

const key = seedKey(5);
/** Points on a line, of which the distances are known. */
const line = Float32Array.from({ length: 2 * 40 }, (_, i) => (i % 2 === 0 ? 3 * Math.floor(i / 2) ** 2 : 1));

function made(options: Options, data = line, dim = 2, normalization?: { mean: number[]; scale: number[] }) {
  const flow = { dim, ...(normalization && { normalization }) } as Flow;
  return makeRowDraws("training", flow, data, { rows: data.length / dim, options } as TrainingPlan);
}

const deviationsOf = (
  options: Options,
  ...rest: [Float32Array<ArrayBuffer>?, number?, { mean: number[]; scale: number[] }?]
) => {
  const floats = new Float32Array(made(options, ...rest)?.table.buffer ?? new ArrayBuffer(0));
  return Array.from({ length: floats.length / 3 }, (_, row) => floats[3 * row + 2] ?? Number.NaN);
};

test("each row gets its share of the places, whatever the weights", () => {
  for (const rowWeights of [
    Float32Array.of(1, 2, 3, 4),
    Float32Array.of(0, 1, 0, 1e-3, 7),
    Float32Array.of(5),
    Float32Array.from({ length: 1001 }, (_, i) => Math.abs(Math.sin(i))),
  ]) {
    const n = rowWeights.length;
    const table = made({ rowWeights }, new Float32Array(n), 1)?.table ?? new Uint32Array();
    const share = new Float64Array(n);
    for (let row = 0; row < n; row++) {
      const own = (table[3 * row] ?? 0) / 2 ** 32;
      share[row] = (share[row] ?? 0) + own / n;
      const other = table[3 * row + 1] ?? 0;
      share[other] = (share[other] ?? 0) + (1 - own) / n;
    }
    const sum = rowWeights.reduce((total, weight) => total + weight, 0);
    // limits have 32 bits
    for (const [row, weight] of rowWeights.entries())
      expect(Math.abs((share[row] ?? 0) - weight / sum)).toBeLessThan(1e-9);
  }
});

test("rows are drawn in proportion to their weights, and one without weight never", () => {
  const draws = made({ rowWeights: Float32Array.of(1, 0, 3, 4) }, new Float32Array(4), 1);
  const counts = [0, 0, 0, 0];
  const words = new Uint32Array(4);
  for (let sample = 0; sample < 8000; sample++) {
    philox(sample, 0, 0, streams.batchIndex, key, words);
    const row = drawnRow(draws, words, 4);
    counts[row] = (counts[row] ?? 0) + 1;
  }
  expect(counts[1]).toBe(0);
  // six standard deviations
  for (const [row, wanted] of [1000, 0, 3000, 4000].entries())
    expect(Math.abs((counts[row] ?? 0) - wanted)).toBeLessThanOrEqual(6 * Math.sqrt((wanted * (8000 - wanted)) / 8000));
});

test("with noise alone a sample takes the row that it takes without", () => {
  const draws = made({ noise: 0.1 });
  const words = new Uint32Array(4);
  for (let sample = 0; sample < 1000; sample++) {
    philox(sample, 0, 0, streams.batchIndex, key, words);
    expect(drawnRow(draws, words, 40)).toBe(drawnRow(undefined, words, 40));
  }
  expect(made({})).toBeUndefined();
});

test("deviations are one number, one for each row, or by neighbours in the flow's own space", () => {
  expect(deviationsOf({ noise: 0.25 })).toEqual(new Array(40).fill(0.25));
  const own = Float32Array.from({ length: 40 }, (_, row) => row / 64);
  expect(deviationsOf({ noise: own })).toEqual([...own]);
  // of 0, 3, 12, 27, … the second neighbour is 12 from the first, 9 from the second, 12 from the third
  const neighbours = { neighbour: 2, factor: 0.5, floor: 10 };
  expect(deviationsOf({ noise: neighbours }).slice(0, 3)).toEqual([6, 5, 6]);
  const normalization = { mean: [0, -3], scale: [4, 1e6] };
  expect(deviationsOf({ noise: { ...neighbours, floor: 0 } }, line, 2, normalization).slice(0, 3)).toEqual([
    1.5, 1.125, 1.5,
  ]);
  // the default floor, for rows that are all alike
  expect(deviationsOf({ noise: { factor: 2 } }, new Float32Array(20))[3]).toBeCloseTo(0.004, 9);
});

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

for (const [name, options, message] of [
  ["a negative deviation", { noise: -1 }, /noise is -1, but it is a finite number from 0/],
  ["a word", { noise: loose("much") }, /noise is "much", but 40 rows need a Float32Array of 40/],
  ["too few deviations", { noise: new Float32Array(39) }, /a Float32Array of 39, but 40 rows need/],
  ["a deviation that is not finite", { noise: new Float32Array(40).fill(Number.NaN) }, /noise holds NaN at row 0/],
  ["a negative one among them", { noise: new Float32Array(40).fill(-2, 3) }, /noise\[3\] is -2/],
  ["no factor", { noise: loose({ neighbour: 3 }) }, /noise\.factor is undefined/],
  ["an unknown part", { noise: loose({ factor: 3, neighbor: 3 }) }, /did you mean "neighbour"/],
  ["more neighbours than there are", { noise: { neighbour: 40, factor: 1 } }, /40 rows have 39 neighbours/],
  ["too few weights", { rowWeights: new Float32Array(2) }, /rowWeights is a Float32Array of 2/],
  ["a negative weight", { rowWeights: new Float32Array(40).fill(-1, 39) }, /rowWeights\[39\] is -1/],
  ["weights of nothing", { rowWeights: new Float32Array(40) }, /rowWeights are all 0/],
] as const)
  test(`training refuses for its rows ${name}`, () => {
    expect(() => made(options)).toThrow(message);
  });

test("neighbours of many columns are refused, and what to pass is told", () => {
  expect(() => made({ noise: { factor: 1 } }, new Float32Array(17 * 20), 17)).toThrow(
    /up to 16 columns, but the data has 17: pass the deviation of each row, a Float32Array of 20/,
  );
});
