import { expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import { checkDensity, type Source, samplesSpec, sourceSpec } from "../../src/flow/source.ts";
import { seedKey } from "../../src/random/philox.ts";
import { drawStarts, sourceMoments } from "../../src/train/starts.ts";

const means = [
  [0, 1],
  [4, -2],
  [-3, 5],
];
const scales = [1, [0.5, 2], 0.1];
const weights = [1, 5, 2];
const mixture = { distribution: "mixture", means, scales, weights } as const;
const key = seedKey(5);

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (source: unknown) => source as Source;

for (const [name, source, message] of [
  ["nothing of a source", {}, /neither distribution nor samples/],
  ["a name", "gaussian", /neither distribution nor samples/],
  ["a distribution that is not known", { distribution: "mixtur" }, /did you mean "mixture"/],
  ["a mixture without means", { distribution: "mixture", scales: [1] }, /source.means is undefined.*each component/],
  ["a mixture of none", { ...mixture, means: [] }, /source.means is .*each component/],
  ["means of another dimension", { ...mixture, means: [[1, 2], [3]] }, /source.means\[1\] is \[3\].*list of 2 numbers/],
  ["scales for others", { ...mixture, scales: [1, 2] }, /source.scales has 2 entries, but there are 3 means/],
  [
    "no width",
    { ...mixture, scales: [1, [1, 0], 1] },
    /source.scales\[1\]\[1\] is 0, but a standard deviation is positive/,
  ],
  ["weights for others", { ...mixture, weights: [1] }, /source.weights has 1 entries, but there are 3 means/],
  ["a negative share", { ...mixture, weights: [1, -1, 1] }, /source.weights\[1\] is -1/],
  ["an unknown key", { ...mixture, weight: [1] }, /weight.*did you mean "weights"/],
  ["samples that are a list", { samples: [1, 2] }, /samples is .*Float32Array/],
  ["samples of f64", { samples: Float64Array.of(1, 2) }, /samples is .*Float32Array/],
  ["half a sample", { samples: Float32Array.of(1, 2, 3) }, /samples has 3 values.*multiple of 2/],
  ["no samples", { samples: new Float32Array(0) }, /samples is empty/],
  ["a sample that is nowhere", { samples: Float32Array.of(1, Infinity) }, /samples holds Infinity at row 0, column 1/],
  ["samples and more", { samples: Float32Array.of(1, 2), distribution: "samples" }, /distribution/],
] as const)
  test(`a source is refused in words: ${name}`, () => {
    expect(() => sourceSpec(loose(source), 2)).toThrow(message);
    expect(() => sourceSpec(loose(source), 2)).toThrow(expect.objectContaining({ name: PushforwardError.name }));
  });

test("samples have no density, whatever asks for it, and all other sources have one", () => {
  expect(() => checkDensity("logProb", samplesSpec(Float32Array.of(1, 2), 2))).toThrow(/logProb needs log p.*samples/);
  expect(() => checkDensity("logProb", sourceSpec(mixture, 2))).not.toThrow();
});

test("a source keeps its numbers, whatever becomes of the arrays that it was made of", () => {
  const samples = Float32Array.of(1, 2, 3, 4);
  const own = [[1, 2]];
  const [rows, mixed] = [
    sourceSpec({ samples }, 2),
    sourceSpec({ ...mixture, means: own, scales: [1], weights: [3] }, 2),
  ];
  samples.fill(9);
  own[0] = [7, 7];
  expect([...rows.rows]).toEqual([1, 2, 3, 4]);
  expect(mixed.options).toMatchObject({ means: [[1, 2]], scales: [[1, 1]], weights: [3] });
});

test("draws of a mixture and of samples have the means and the variances that are told of them", () => {
  const n = 40_000;
  for (const source of [
    sourceSpec(mixture, 2),
    sourceSpec({ samples: Float32Array.from({ length: 26 }, (_, i) => Math.sin(i * i)) }, 2),
  ]) {
    const drawn = drawStarts(source, 2, key, 4, 7, n);
    for (const k of [0, 1]) {
      const column = Array.from({ length: n }, (_, i) => drawn[2 * i + k] ?? 0);
      const mean = column.reduce((sum, value) => sum + value, 0) / n;
      const variance = column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
      const wanted = sourceMoments(source, 2, k);
      // five standard errors
      expect(Math.abs(mean - wanted.mean)).toBeLessThan(5 * Math.sqrt(wanted.variance / n));
      expect(variance / wanted.variance).toBeCloseTo(1, 1);
    }
  }
});

test("a draw depends on the number of its particle alone", () => {
  for (const source of [sourceSpec(mixture, 2), samplesSpec(Float32Array.of(1, 2, 3, 4, 5, 6), 2)]) {
    const all = drawStarts(source, 2, key, 0, 2 ** 32 - 5, 10);
    expect(drawStarts(source, 2, key, 0, 2 ** 32 - 2, 4)).toEqual(all.slice(6, 14));
  }
});
