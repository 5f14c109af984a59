import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { readable } from "../../src/arrays.ts";
import { densityGrid } from "../../src/flow/density.ts";
import { evaluate } from "../../src/flow/evaluation.ts";
import type { Flow } from "../../src/flow/flow.ts";
import { logProbRequest, pushRequest } from "../../src/flow/requests.ts";
import { chunksOf, partsOf } from "../../src/flow/streams.ts";
import { decodeSafetensors, encodeSafetensors, fitNormalization } from "../../src/index.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { slice } from "../../src/ode/slice.ts";
import { convertPrediction } from "../../src/path/entry.ts";
import { logProbCall } from "../../src/spread/call.ts";
import { flowMatchingPlan } from "../../src/train/plan.ts";
import { flatten } from "../../src/velocity/parameters.ts";

import { detached } from "../hostile.ts";
import { shapeOf, told } from "./refusals.ts";

/** Arrays of these values that a kernel or WebGPU could not read as they are, by kind. */
const odd: Record<string, (values: readonly number[]) => Float32Array> = {
  "of shared memory": (values) => {
    const shared = new Float32Array(new SharedArrayBuffer(values.length * 4));
    shared.set(values);
    return shared;
  },
  "of another realm": (values) => runInNewContext("Float32Array.from(values)", { values }),
  "that follows a resizable buffer": (values) => {
    const Resizable = ArrayBuffer as unknown as new (bytes: number, o: { maxByteLength: number }) => ArrayBuffer;
    const array = new Float32Array(new Resizable(values.length * 4, { maxByteLength: values.length * 8 }));
    array.set(values);
    return array;
  },
};

const velocity = mlp({ dim: 2, hidden: [2], classes: 2, context: 1 });
const shape = shapeOf(velocity);
const flow = shape as unknown as Flow;
const [labels, context] = [Uint32Array.of(0, 1), Float32Array.of(0, 1)];
const given = { labels, context };
const x = Float32Array.of(0, 1, 2, 3);

/** Whatever takes arrays; each gives what it took, for a good array of four values at the entrance. */
const entrances: Record<string, (array: Float32Array) => unknown> = {
  "rows of push": (array) => pushRequest(shape, "push", array, given).start,
  "rows of logProb": (array) => logProbRequest(shape, "logProb", array, given).start,
  "log p of push": (array) =>
    pushRequest(shape, "push", new Float32Array(8), {
      labels: new Uint32Array(4),
      context: new Float32Array(4),
      logProb: array,
    }).logProb,
  context: (array) =>
    pushRequest(shape, "push", new Float32Array(8), { labels: new Uint32Array(4), context: array }).conditions,
  "probe vectors": (array) =>
    logProbRequest(shape, "logProb", x, { ...given, divergence: { probe: "gaussian", vectors: array } }).divergence,
  "rows of a range": (array) => logProbCall(shape, "logProb", array, given).input({ start: 0, count: 2 }),
  "chunks of a stream": (array) =>
    partsOf("logProbStream", array) && logProbRequest(shape, "logProbStream", array, given).start,
  normalization: (array) => fitNormalization(array, 2),
  weights: (array) =>
    flatten(networkOf(mlp({ dim: 1, hidden: [2] })).tensors, {
      "net.0.weight": array,
      "net.0.bias": new Float32Array(2),
      "net.2.weight": new Float32Array(2),
      "net.2.bias": new Float32Array(1),
    }),
  "tensors of a file": (array) => encodeSafetensors({ a: { shape: [4], data: array } }),
  predictions: (array) => convertPrediction(array, array, array, { from: "velocity", to: "x1" }),
  "a chunk's part": (array) => slice("rows", array, 0, 2, 2),
  "data and context of a training": (array) => {
    const data = readable("data", new Float32Array([...x, ...x].map((value, i) => value + i)));
    const { options } = flowMatchingPlan(flow, data, {
      steps: 1,
      labels: Uint32Array.of(0, 1, 0, 1),
      context: array,
      validation: { data: array, labels: Uint32Array.of(0, 1), context: new Float32Array(2) },
    });
    return [options.context, options.validation?.data];
  },
};

for (const [entrance, take] of Object.entries(entrances)) {
  test(`${entrance}: arrays that are shared, resizable or of another realm are read, those that are gone refused`, () => {
    const values = entrance === "predictions" ? [0.1, 0.2, 0.3, 0.4] : [...x];
    const want = take(Float32Array.from(values));
    for (const make of Object.values(odd)) expect(take(make(values))).toEqual(want);
    const proxy = new Proxy(Float32Array.from(values), {});
    for (const [array, words] of [
      [detached(4), /memory is gone.*transferred/],
      [proxy, /Proxy|is an object, but it is a Float32Array/],
    ] as const)
      expect(told(() => take(array))).toMatch(words);
  });
}

test("a file's bytes in shared memory are read, in memory that is gone refused", () => {
  const file = encodeSafetensors({ a: { shape: [2], data: Float32Array.of(1, 2) } });
  const shared = new Uint8Array(new SharedArrayBuffer(file.length));
  shared.set(file);
  expect(decodeSafetensors(shared).tensors.a?.data).toEqual(Float32Array.of(1, 2));
  structuredClone(file.buffer, { transfer: [file.buffer as ArrayBuffer] });
  expect(() => decodeSafetensors(file)).toThrow(/memory is gone/);
});

test("labels, times, tangents and a grid's context in memory that is gone are refused", async () => {
  const gone = new Uint32Array(2);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  expect(() => pushRequest(shape, "push", x, { ...given, labels: gone })).toThrow(
    /push: labels is a Uint32Array whose memory is gone/,
  );
  await expect(evaluate(flow, "velocity", x, detached(4), given)).rejects.toThrow(/velocity: t .*memory is gone/);
  await expect(evaluate(flow, "jvp", x, 0, given, detached(4))).rejects.toThrow(/jvp: tangent .*memory is gone/);
  await expect(
    densityGrid(flow, {
      box: [
        [0, 1],
        [0, 1],
      ],
      cells: [2, 2],
      context: detached(4),
    }),
  ).rejects.toThrow(/context .*memory is gone/);
});

test("an array that shrank with its buffer is refused", () => {
  const Resizable = ArrayBuffer as unknown as new (bytes: number, o: { maxByteLength: number }) => ArrayBuffer;
  const buffer = new Resizable(16, { maxByteLength: 16 });
  const array = new Float32Array(buffer, 8, 2);
  (buffer as unknown as { resize(bytes: number): void }).resize(8);
  expect(() => readable("x", array)).toThrow(/x is a Float32Array whose memory is gone/);
});

test("a proxy of an array in place of a stream's chunks is told, not iterated over", () => {
  expect(() => chunksOf(flow, "logProbStream", new Proxy(x, {}))).toThrow(
    /logProbStream: chunks is an object that stands/,
  );
});
