import { expect, test } from "vitest";
import { loadFlow } from "../../src/flow/file.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { type Source, sourceSpec } from "../../src/flow/source.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";

const velocity = mlp({ dim: 3, hidden: [5] });
const weights = Object.fromEntries(
  networkOf(velocity).tensors.map(({ name, shape }) => [
    name,
    new Float32Array(shape.reduce((product, size) => product * size, 1)),
  ]),
);
const parts = 257;
/** Numbers that f32 does not hold, as a fit gives them. */
const mixture = {
  distribution: "mixture" as const,
  means: Array.from({ length: parts }, (_, k) => [Math.sin(k), Math.cos(3 * k), k / 7]),
  scales: Array.from({ length: parts }, (_, k) => [0.1 + 1 / (k + 3), 0.3, 0.7]),
  weights: Array.from({ length: parts }, (_, k) => 1 / (k + 3)),
};
const saved = (source: Source) => saveFlow(velocity, weights, sourceSpec(source, 3).options, undefined);

/** The file with another source in its metadata, and other tensors beside the weights. */
function changed(source: unknown, tensors: Record<string, Float32Array | undefined> = {}): Uint8Array {
  const file = decodeSafetensors(saved(mixture));
  const spec = JSON.parse(file.metadata.pushforward ?? "");
  const own = Object.entries({ ...file.tensors }).flatMap(([name, tensor]) => {
    const data = name in tensors ? tensors[name] : tensor.data;
    return data === undefined ? [] : [[name, { shape: [data.length], data }] as const];
  });
  const shapes = Object.fromEntries(networkOf(velocity).tensors.map(({ name, shape }) => [name, [...shape]]));
  return encodeSafetensors(
    Object.fromEntries(own.map(([name, { shape, data }]) => [name, { shape: shapes[name] ?? shape, data }])),
    { pushforward: JSON.stringify({ ...spec, source }) },
  );
}

const names = { means: "source.means", scales: "source.scales", weights: "source.weights" };

test("a mixture comes back from a file with the same bits, at four bytes a number", () => {
  const file = saved(mixture);
  const { source } = loadFlow(file);
  expect(sourceSpec(source, 3)).toEqual(sourceSpec(mixture, 3));
  expect(saved(source as Source)).toEqual(file);
  const other = saved({ distribution: "gaussian" });
  expect(file.length - other.length).toBeLessThan(4 * 7 * parts + 500);
});

test("a mixture's one scale for all axes, and shares that are left out, are in the file, too", () => {
  const source = { distribution: "mixture", means: [[1, 2, 3]], scales: [0.1] } as const;
  const bytes = saved(source);
  expect(sourceSpec(loadFlow(bytes).source, 3)).toEqual(sourceSpec(source, 3));
});

test("files of before, which have a mixture's numbers as text, give the same source", () => {
  expect(sourceSpec(loadFlow(changed(mixture)).source, 3)).toEqual(sourceSpec(mixture, 3));
});

test("a mixture whose tensors do not fit makes the file one that is refused, in words", () => {
  const source = { distribution: "mixture", tensors: names };
  expect(sourceSpec(loadFlow(changed(source)).source, 3)).toEqual(sourceSpec(mixture, 3));
  const short = new Float32Array(3 * parts - 1).fill(1);
  for (const [bytes, words] of [
    [changed(source, { "source.means": undefined }), /source\.means/],
    [changed(source, { "source.means": short }), /source\.means\[256\].*list of 3 numbers/],
    [changed(source, { "source.scales": short.subarray(2, 5) }), /source\.scales has 1 entries.*257 means/],
    [changed(source, { "source.weights": short.subarray(0, 5) }), /source\.weights has 5 entries.*257 means/],
    [changed(source, { "source.weights": new Float32Array(parts) }), /source\.weights\[0\] is 0/],
    [changed({ distribution: "mixture", tensors: {} }), /tensor/],
  ] as const)
    expect(() => loadFlow(bytes)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(words) }),
    );
});
