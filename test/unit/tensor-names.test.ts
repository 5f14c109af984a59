import { expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import { loadFlow } from "../../src/flow/file.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { decodeSafetensors, encodeSafetensors, type Tensor } from "../../src/io/safetensors.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { unflatten } from "../../src/velocity/parameters.ts";

const velocity = mlp({ dim: 2, hidden: [4] });
const named = networkOf(velocity).tensors;
const weights = unflatten(named, initialParameters(networkOf(velocity), 1));
const tensors = (rename: (name: string) => string = (name) => name): Record<string, Tensor> =>
  Object.fromEntries(named.map(({ name, shape }) => [rename(name), { shape, data: weights[name] as Float32Array }]));
const file = (own: Record<string, Tensor>) => encodeSafetensors(own);

function fault(work: () => unknown): PushforwardError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(PushforwardError);
    return error as PushforwardError;
  }
  throw new Error("nothing was thrown");
}

test("prefixes of wrappers, alone or nested, are left out with a word", () => {
  for (const prefix of ["module.", "_orig_mod.", "_orig_mod.module.", "velocity_model."]) {
    const notices: string[] = [];
    const loaded = loadFlow(file(tensors((name) => prefix + name)), {
      velocity,
      onNotice: (text) => notices.push(text),
    });
    expect(loaded.weights).toEqual(weights);
    expect(notices).toEqual([`the file's tensors are called "${prefix}…": read without that`]);
  }
});

test("weights beside averages of them are ambiguous, unless one has the prefix of a wrapper", () => {
  const both = { ...tensors((name) => `net_a.${name}`), ...tensors((name) => `net_b.${name}`) };
  expect(fault(() => loadFlow(file(both), { velocity })).message).toContain(
    'behind "net_a." and "net_b.": say which with { tensors: (name) => "net_a." + name }',
  );
  expect(loadFlow(file(both), { velocity, tensors: (name) => `net_b.${name}` }).weights).toEqual(weights);
  const wrapped = { ...tensors((name) => `module.${name}`), ...tensors((name) => `average.${name}`) };
  expect(loadFlow(file(wrapped), { velocity }).weights).toEqual(weights);
});

test("names of another module are mapped by a record or a function", () => {
  const rename = (name: string) => name.replace("net.0", "fc1").replace("net.2", "out");
  const other = file(tensors(rename));
  const record = Object.fromEntries(named.map(({ name }) => [name, rename(name)]));
  expect(loadFlow(other, { velocity, tensors: record }).weights).toEqual(weights);
  expect(loadFlow(other, { velocity, tensors: rename }).weights).toEqual(weights);
});

test("unknown names are answered by a map to copy, where order and shapes give one", () => {
  const error = fault(() => loadFlow(file(tensors((name) => name.replace("net", "layers"))), { velocity }));
  expect(error.code).toBe("format");
  expect(error.message).toContain('the file has no tensor "net.0.weight": did you mean "layers.0.weight"?');
  const copied = /pass \{ tensors: (\{.*\}) \}/.exec(error.message)?.[1] ?? "";
  expect(JSON.parse(copied)).toEqual(
    Object.fromEntries(named.map(({ name }) => [name, name.replace("net", "layers")])),
  );
  const less = fault(() => loadFlow(file({ other: { shape: [3], data: new Float32Array(3) } }), { velocity }));
  expect(less.message).toContain("It has other [3].");
  expect(less.message).toContain('pass { tensors: { "net.0.weight": "…", … } }');
});

test("integers and booleans beside the weights are ignored, and a needed tensor of such a type is missing", () => {
  const header = (all: Record<string, unknown>, data: Uint8Array) => {
    const text = new TextEncoder().encode(JSON.stringify(all));
    const bytes = new Uint8Array(8 + text.length + data.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    bytes.set(data, 8 + text.length);
    return bytes;
  };
  const bytes = header(
    {
      steps: { dtype: "I64", shape: [], data_offsets: [0, 8] },
      mask: { dtype: "BOOL", shape: [3], data_offsets: [8, 11] },
      a: { dtype: "F32", shape: [1], data_offsets: [11, 15] },
    },
    new Uint8Array(15),
  );
  const decoded = decodeSafetensors(bytes);
  expect(Object.keys(decoded.tensors)).toEqual(["a"]);
  expect({ ...decoded.ignored }).toEqual({ steps: "I64", mask: "BOOL" });
  const wrong = header({ steps: { dtype: "I64", shape: [2], data_offsets: [0, 8] } }, new Uint8Array(8));
  expect(fault(() => decodeSafetensors(wrong)).message).toContain("takes 16 bytes, but its data has 8");
});

test("a file of a deeper network is refused, others of its tensors are not read", () => {
  const deeper = { ...tensors(), "net.4.weight": { shape: [2, 2], data: new Float32Array(4) } };
  expect(fault(() => loadFlow(file(deeper), { velocity })).message).toContain('also has the tensor "net.4.weight"');
  const beside = { ...tensors(), "head.scale": { shape: [2], data: new Float32Array(2) } };
  expect(loadFlow(file(beside), { velocity }).weights).toEqual(weights);
});

test("whatever is wrong within a file has the code format", () => {
  const whole = saveFlow(velocity, weights, { distribution: "gaussian" }, { mean: [0, 0], scale: [1, 2] });
  const length = Number(new DataView(whole.buffer, whole.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(whole.subarray(8, 8 + length));
  const damaged = (from: string, to: string) => {
    expect(text).toContain(from);
    const bytes = whole.slice();
    bytes.set(new TextEncoder().encode(text.replace(from, to)), 8);
    return bytes;
  };
  for (const bytes of [
    whole.slice().fill(255, 8 + length, 12 + length),
    damaged('\\"scale\\":[1,2]', '\\"scale\\":[1,0]'),
    damaged("net.0.weight", "net.0.wEight"),
    damaged('\\"gaussian\\"', '\\"gaussjan\\"'),
    damaged('\\"silu\\"', '\\"sjlu\\"'),
    damaged('{\\"version\\"', '[\\"version\\"'),
  ])
    expect(fault(() => loadFlow(bytes)).code).toBe("format");
});

test("weights in other formats are named, with the way from there", () => {
  const start = (...bytes: number[]) => Uint8Array.of(...bytes, ...new Uint8Array(100).fill(7));
  for (const [bytes, words] of [
    [start(0x50, 0x4b, 3, 4), "torch.save and numpy.savez"],
    [start(0x80, 2, 0x8a), "Python pickle"],
    [start(0x1f, 0x8b), "compressed by gzip: unpack it first"],
    [new TextEncoder().encode('{"metadata": {"total_size": 12}, "weight_map": {}}'), "JSON"],
  ] as const) {
    const error = fault(() => loadFlow(bytes, { velocity }));
    expect([error.code, error.message]).toEqual(["format", expect.stringContaining(words)]);
  }
});
