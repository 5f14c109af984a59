import fc from "fast-check";
import { expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import type { Flow } from "../../src/flow/flow.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/train/checkpoint.ts";
import { flowMatchingFields } from "../../src/train/fields.ts";
import { differences, fingerprint } from "../../src/train/fingerprint.ts";
import type { FlowMatchingOptions } from "../../src/train/flow-matching-options.ts";
import { flowMatchingPlan } from "../../src/train/plan.ts";

const velocity = mlp({ dim: 2, hidden: [3] });
const tensors = networkOf(velocity).tensors;
const count = tensors.reduce((sum, { size }) => sum + size, 0);
// What is read of a flow here needs no device.
const flow = {
  velocitySpec: velocity,
  parameters: { tensors, count },
  source: sourceSpec(undefined, 2),
} as unknown as Flow;
const values = (start: number) => Float32Array.from({ length: count }, (_, i) => start + i / 7);
const state = {
  step: 5,
  sinceLog: 2,
  loss: Math.fround(1.3),
  weights: values(1),
  first: values(2),
  // a moment may have overflown where the weights are still finite
  second: values(3).fill(Infinity, 1, 2),
  average: values(4),
  best: undefined,
};
const settings = { batchSize: 64, seed: 1 };
const bytes = await encodeCheckpoint(flow, velocity, settings, state);
const decode = (file: Uint8Array, here: (step: number) => object = () => settings) =>
  decodeCheckpoint("trainFlowMatching", flow, file, 9, here as () => typeof settings);

test("a checkpoint gives back the state that it was made of, also with metadata of others in it", async () => {
  expect(await decode(bytes)).toEqual(state);
  const { tensors: all, metadata } = decodeSafetensors(bytes);
  expect(await decode(encodeSafetensors(all, { ...metadata, columns: "a,b" }))).toEqual(state);
  const { average: _, ...plain } = state;
  const again = await decode(await encodeCheckpoint(flow, velocity, settings, { ...plain, average: undefined }));
  // without a moving average the flow's own names hold the trained weights
  expect(again).toEqual({ ...state, average: state.weights });
  // the best weights stand there, where a training ends with them
  const best = { step: 3, validationLoss: Number.NaN, judged: 5, since: 2, weights: values(5) };
  for (const average of [state.average, undefined]) {
    const judged = { ...state, average, best };
    expect(await decode(await encodeCheckpoint(flow, velocity, settings, judged))).toEqual(judged);
  }
  const unkept = { ...state, best: { ...best, validationLoss: 0.5, weights: undefined } };
  expect(await decode(await encodeCheckpoint(flow, velocity, settings, unkept))).toEqual(unkept);
});

test("no byte of a checkpoint can change without being noticed, but those that do not matter", async () => {
  const byte = fc.nat({ max: bytes.length - 1 });
  await fc.assert(
    fc.asyncProperty(byte, fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ change;
      const outcome = await decode(damaged).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(PushforwardError);
      else expect(outcome).toEqual(state);
    }),
    { numRuns: 400 },
  );
});

test("a checkpoint that ends anywhere before its end is refused", async () => {
  for (let length = 0; length < bytes.length; length += 13)
    await expect(decode(bytes.slice(0, length))).rejects.toThrow(expect.objectContaining({ code: "format" }));
});

test("a checkpoint of a version to come says what to do", async () => {
  const { tensors: all, metadata } = decodeSafetensors(bytes);
  const text = metadata["pushforward.training"]?.replace('"version":1', '"version":2') ?? "";
  const digest = await crypto.subtle.digest(
    "SHA-256",
    encodeSafetensors(all, { "pushforward.training": text }).slice(),
  );
  const file = encodeSafetensors(all, {
    "pushforward.training": text,
    "pushforward.training.sha256": Buffer.from(digest).toString("hex"),
  });
  await expect(decode(file)).rejects.toThrow("version 2, but this library reads 1: update pushforward");
});

test("all that differs is told at once, with what it was and what it is", async () => {
  const here = () => ({ batchSize: 32, seed: 1, "optimizer.ema": 0.9 });
  const told = "batchSize is 64 there and 32 here; optimizer.ema is not set there and 0.9 here. Resume with";
  await expect(decode(bytes, here)).rejects.toThrow(told);
});

const data = Float32Array.of(0, 1, 2, 3, 4, 5);
const printOf = (o: Partial<FlowMatchingOptions>, rows = data) =>
  fingerprint(flow, rows, flowMatchingPlan(flow, rows, { steps: 7, ...o }), flowMatchingFields, "a training", {});

test("options that change no bits may change between two runs, all others may not", async () => {
  const there = await printOf({});
  const free = {
    steps: 99,
    logEvery: 3,
    signal: new AbortController().signal,
    batchSize: 1024,
    optimizer: "adam",
  } as const;
  expect(differences(there, await printOf({ ...free, onProgress: () => undefined }))).toEqual([]);
  expect(differences(there, await printOf({}, data.slice()))).toEqual([]);
  for (const o of [{ batchSize: 5 }, { seed: 2 }, { ema: 0.5 }, { gradientClip: 1 }, { path: "cosine" as const }])
    expect(differences(there, await printOf(o))).toHaveLength(1);
  expect(differences(there, await printOf({ optimizer: { name: "adamw", betas: [0.8, 0.9] } }))).toHaveLength(3);
  const shared = new Float32Array(new SharedArrayBuffer(24));
  shared.set(data);
  expect(differences(there, await printOf({}, shared as unknown as typeof data))).toEqual([]);
});
