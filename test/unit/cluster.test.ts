import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { failureOf, failureText, protocol, whyNot } from "../../src/cluster/protocol.ts";
import { PushforwardError } from "../../src/errors.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { logProbCall, sampleCall } from "../../src/spread/call.ts";
import { carry } from "../../src/spread/carried-flow.ts";
import { Gathering } from "../../src/spread/gather.ts";
import { pack, unpack } from "../../src/spread/parcel.ts";
import { defaultRangeSize, rangesOf } from "../../src/spread/ranges.ts";
import { version } from "../../src/spread/version.ts";

const range = { start: 2048, count: 1024, total: 9000, what: "sample" } as const;

/** The file of a flow with classes and context, made without a device. */
function file(): Uint8Array {
  const velocity = mlp({ dim: 3, hidden: [5], classes: 4, context: 2 });
  const weights = Object.fromEntries(
    networkOf(velocity).tensors.map(({ name, size }) => [name, new Float32Array(size).fill(0.1)]),
  );
  return saveFlow(velocity, weights, { distribution: "gaussian", mean: [0, 0, 0], std: [1, 1, 1] }, undefined);
}

test("the version that workers compare is that of package.json", () => {
  expect(version).toBe(JSON.parse(readFileSync("package.json", "utf8")).version);
});

test("ranges cover every particle once, in order, and begin at multiples of the size", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 4_000 }), (total, size) => {
      let next = 0;
      for (const { start, count } of rangesOf(total, size)) {
        expect(start).toBe(next);
        expect(start % size).toBe(0);
        expect(count).toBeGreaterThan(0);
        next += count;
      }
      expect(next).toBe(total);
    }),
  );
});

test("ranges are whole blocks of 1024 that give each worker several, and none is too large for Redis", () => {
  expect(defaultRangeSize(10, 20, 3)).toBe(1024);
  expect(defaultRangeSize(1_000_000, 20, 4)).toBe(31_744);
  expect(defaultRangeSize(1e9, 20, 4)).toBe(131_072);
  expect(defaultRangeSize(1e9, 1e6, 4) * 1e6).toBeLessThan(2e9);
  expect(defaultRangeSize(1_000_000, 20, 0) % 1024).toBe(0);
});

test("a parcel brings back the JSON and the bits of the arrays, NaN included, from any place in memory", () => {
  const bits = Uint32Array.of(0x7fc00001, 0xff800000, 0x80000000, 1);
  const arrays = {
    x: new Float32Array(bits.buffer),
    labels: Uint32Array.of(0xffffffff, 7, 3),
    status: Uint8Array.of(1, 2, 3),
    none: new Float32Array(0),
  };
  const parcel = pack({ nfe: 0.1, name: "ä" }, arrays);
  const shifted = new Uint8Array(parcel.length + 3).subarray(3);
  shifted.set(parcel);
  const { head, arrays: found } = unpack<object>(shifted, "a test");
  expect(head).toEqual({ nfe: 0.1, name: "ä" });
  expect(Object.keys(found)).toEqual(Object.keys(arrays));
  const x = found.x as Float32Array;
  expect(new Uint32Array(x.buffer, x.byteOffset, 4)).toEqual(bits);
  expect(found.labels).toEqual(arrays.labels);
  expect(found.status).toEqual(arrays.status);
});

test("bytes that are no parcel, and a parcel that is cut off, are a format error", () => {
  const parcel = pack({}, { x: Float32Array.of(1, 2, 3) });
  for (const bytes of [new Uint8Array(0), new Uint8Array(100), parcel.subarray(0, 20), parcel.subarray(0, -8)])
    expect(() => unpack(bytes, "a result")).toThrow(/a result in Redis is \d+ bytes that are no parcel/);
});

test("a worker refuses jobs of another version with both versions in the message", () => {
  const task = { what: "sample", start: 0, count: 1, total: 1, options: {}, call: "a", flow: "b" } as const;
  expect(whyNot({ protocol, version, ...task })).toBeUndefined();
  for (const wrong of [{ what: "toString" }, { start: -1 }, { count: 2 }, { options: null }, { flow: 3 }])
    expect(whyNot({ protocol, version, ...task, ...(wrong as object) })).toMatch(/the job .* none of pushforward/);
  expect(whyNot({ protocol, version: "9.9.9" })).toMatch(/9\.9\.9.*this worker is pushforward/);
  expect(whyNot({ protocol: protocol + 1, version })).toMatch(/install one version/);
  expect(whyNot(null)).toMatch(/unknown version/);
});

test("a failure keeps its code and message on its way to the caller, and gains the range and the worker", () => {
  const { text, isFinal } = failureText(new PushforwardError("shader", "line 3:\nno such name"), "host-1");
  expect(isFinal).toBe(true);
  const error = failureOf(text, range);
  expect(error.code).toBe("shader");
  expect(error.message).toBe("particles 2048 to 3071 of 9000 (sample) failed: line 3:\nno such name (worker host-1)");
  expect(failureText(new PushforwardError("device-lost", "gone"), "w").isFinal).toBe(false);
  expect(failureText(new TypeError("oops"), "w").isFinal).toBe(false);
});

test("a range that ended every worker says so", () => {
  const error = failureOf("job stalled more than allowable limit", range);
  expect(error.code).toBe("connection");
  expect(error.message).toMatch(/workers vanished in the middle of it.*smaller rangeSize/);
});

test("each range carries its own rows, labels, context and probe vectors, and the JSON carries none of them", async () => {
  const { shape } = await carry("test", file());
  const n = 7;
  const counting = (length: number) => Float32Array.from({ length }, (_, i) => i);
  const call = logProbCall(shape, "logProb", counting(n * 3), {
    labels: Uint32Array.from({ length: n }, (_, i) => i % 4),
    context: counting(n * 2),
    divergence: { probe: "gaussian", vectors: counting(2 * n * 3) },
    solver: { method: "euler", times: Float32Array.of(1, 0.5, 0) as unknown as number[] },
    seed: 3,
  });
  expect(call.options).toEqual({
    divergence: { probe: "gaussian" },
    solver: { method: "euler", times: [1, 0.5, 0] },
    seed: 3,
  });
  expect(call.input({ start: 5, count: 2 })).toEqual({
    x: Float32Array.of(15, 16, 17, 18, 19, 20),
    labels: Uint32Array.of(1, 2),
    context: Float32Array.of(10, 11, 12, 13),
    vectors: Float32Array.of(15, 16, 17, 18, 19, 20, 36, 37, 38, 39, 40, 41),
  });
});

test("a single label and a single row of context go with every range", async () => {
  const { shape } = await carry("test", file());
  const one = Float32Array.of(7, 8);
  const call = sampleCall(shape, "sample", 10, { context: one });
  expect(call.input({ start: 5, count: 3 })).toEqual({ context: one });
});

test("options are checked without a device, by the rules and messages of the flow's own calls", async () => {
  const { shape } = await carry("test", file());
  const context = new Float32Array(20);
  expect(() => sampleCall(shape, "sample", 10, { context, solver: { method: "eular" as "euler", steps: 3 } })).toThrow(
    /did you mean "euler"/,
  );
  expect(() => sampleCall(shape, "sample", 10, {})).toThrow(/need a Float32Array of 20/);
  expect(() => sampleCall(shape, "sample", 10, { context, rangeSize: 0.5 })).toThrow(/rangeSize is 0.5/);
  const chunked = { context, chunkSize: 3 };
  expect(() => sampleCall(shape, "sample", 10, chunked)).toThrow(/chunkSize is 3, but/);
  // what a call sees of a GPUBuffer
  const buffer = {
    size: 80,
    usage: 4,
    mapState: "unmapped",
    mapAsync: () => undefined,
    getMappedRange: () => undefined,
  };
  expect(() => sampleCall(shape, "sample", 10, { context: buffer as unknown as GPUBuffer })).toThrow(
    /context is a GPUBuffer, but this call takes it from the host/,
  );
});

test("equal flows have equal hashes, other weights another one", async () => {
  const [one, same] = await Promise.all([carry("test", file()), carry("test", file())]);
  expect(one.hash).toMatch(/^[0-9a-f]{64}$/);
  expect(same.hash).toBe(one.hash);
  const other = file();
  other[other.length - 1] = 0x3e;
  expect((await carry("test", other)).hash).not.toBe(one.hash);
});

test("the results of ranges come together as a call on all particles gives them", () => {
  const gathering = new Gathering(3, 7);
  const part = (values: number[], saved: number[], accepted: number) => ({
    x: Float32Array.from(values),
    saved: Float32Array.from(saved),
    times: Float64Array.of(0.5, 1),
    status: new Uint8Array(values.length).fill(accepted),
    nfe: 1,
    nonFinite: 1,
    unfinished: values.length,
    steps: { accepted, rejected: 1, most: accepted },
  });
  gathering.take(2, 1, part([3], [30, 300], 4));
  gathering.take(0, 2, part([1, 2], [10, 20, 100, 200], 7));
  expect(gathering.result()).toEqual({
    x: Float32Array.of(1, 2, 3),
    saved: Float32Array.of(10, 20, 30, 100, 200, 300),
    times: Float64Array.of(0.5, 1),
    status: Uint8Array.of(7, 7, 4),
    nfe: 2 + (6 * 13) / 3,
    nonFinite: 2,
    unfinished: 3,
    steps: { accepted: 11, rejected: 2, most: 7 },
  });
});
