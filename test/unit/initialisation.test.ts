import { expect, test } from "vitest";
import { loadFlow } from "../../src/flow/file.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { activate, concat, linear } from "../../src/network/builder.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { type MlpOptions, mlp } from "../../src/network/mlp.ts";
import { network } from "../../src/network/network.ts";
import { networkOf } from "../../src/network/of.ts";

/** The parameters of a network by name. */
function drawn(velocity: Parameters<typeof networkOf>[0], seed = 1): Record<string, Float32Array> {
  const made = networkOf(velocity);
  const all = initialParameters(made, seed);
  return Object.fromEntries(made.tensors.map(({ name, offset, size }) => [name, all.subarray(offset, offset + size)]));
}

const deviation = (values: Iterable<number>) => {
  const all = [...values];
  return Math.sqrt(all.reduce((sum, value) => sum + value * value, 0) / all.length);
};

const column = (matrix: Float32Array | undefined, inputs: number, i: number) =>
  Array.from(matrix ?? []).filter((_, k) => k % inputs === i);

const frequencies: [number, number] = [1, 30];
const width = 400;
const options: MlpOptions = { dim: 2, hidden: [width, width], activation: "sin", classes: 3 };
const initial = { first: { frequencies }, hidden: 2, output: 0.1 };

for (const inputOrder of ["x,t", "t,x"] as const)
  test(`the first layer has frequencies that are even by their logarithm, in every direction: ${inputOrder}`, () => {
    const { "net.0.weight": matrix, "net.0.bias": bias } = drawn(mlp({ ...options, inputOrder, initial }));
    const inputs = 6;
    const at = inputOrder === "x,t" ? 0 : 1;
    const [a, b] = [column(matrix, inputs, at), column(matrix, inputs, at + 1)];
    const angles: number[] = [];
    for (const [unit, x] of a.entries()) {
      const y = b[unit] ?? 0;
      expect(Math.hypot(x, y)).toBeCloseTo(30 ** ((unit + 0.5) / width), 4);
      angles.push(Math.atan2(y, x));
    }
    // uniform in ±π: the variance is π²/3, and the mean resultant of 400 unit vectors is small
    for (const values of [angles, [...(bias ?? [])]]) {
      expect(Math.abs(deviation(values) / (Math.PI / Math.sqrt(3)) - 1)).toBeLessThan(0.15);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(Math.PI * (1 + 1e-6));
      expect(Math.abs(values.reduce((sum, value) => sum + Math.cos(value), 0) / width)).toBeLessThan(0.2);
    }
    // time and label: variance 2/6
    for (const i of [at === 0 ? 2 : 0, 3, 4, 5])
      expect(Math.abs(deviation(column(matrix, inputs, i)) / Math.sqrt(1 / 3) - 1)).toBeLessThan(0.2);
  });

test("other layers have the deviations that were asked for, and no biases", () => {
  const { "net.2.weight": hidden, "net.2.bias": bias, "net.4.weight": output } = drawn(mlp({ ...options, initial }));
  expect(Math.abs(deviation(hidden ?? []) / (2 / Math.sqrt(width)) - 1)).toBeLessThan(0.02);
  expect(Math.abs(deviation(output ?? []) / (0.1 / Math.sqrt(width)) - 1)).toBeLessThan(0.15);
  expect(bias?.every((value) => value === 0)).toBe(true);
  const zero = drawn(mlp({ ...options, initial: { output: "zero", first: 3 } }));
  expect(zero["net.4.weight"]?.every((value) => value === 0)).toBe(true);
  expect(Math.abs(deviation(zero["net.0.weight"] ?? []) / (3 / Math.sqrt(6)) - 1)).toBeLessThan(0.1);
});

test("what is left out begins as ever, by the same seed", () => {
  expect(drawn(mlp({ ...options, initial: {} }))).toEqual(drawn(mlp(options)));
  const some = drawn(mlp({ ...options, initial: { first: { frequencies } } }));
  for (const name of ["net.2.weight", "net.4.weight"]) expect(some[name]).toEqual(drawn(mlp(options))[name]);
  expect(drawn(mlp({ ...options, initial }), 2)).not.toEqual(drawn(mlp({ ...options, initial })));
});

test("a layer of any network begins so, by default in directions of all of its inputs", () => {
  const velocity = network({ dim: 3 }, ({ x, t }) => {
    const h = activate(linear(concat(x, t), 50, "in", { initial: { frequencies: [2, 2] } }), "sin");
    return linear(h, 3, "out", { initial: 0.01 });
  });
  const { "in.weight": matrix = new Float32Array() } = drawn(velocity);
  for (let unit = 0; unit < 50; unit++)
    expect(Math.hypot(...matrix.subarray(4 * unit, 4 * unit + 4))).toBeCloseTo(2, 5);
});

test("nobody can change an initialisation behind the network's back", () => {
  const own: [number, number] = [1, 30];
  const given = { first: { frequencies: own }, hidden: 2 };
  const velocity = mlp({ ...options, initial: given });
  own[1] = 3;
  given.hidden = 7;
  expect(drawn(velocity)).toEqual(drawn(mlp({ ...options, initial: { ...initial, output: "default" } })));
  expect(Object.isFrozen((velocity.initial?.first as { frequencies?: number[] } | undefined)?.frequencies)).toBe(true);
});

test("a file says how its network began, and its weights are those that were saved", () => {
  const velocity = mlp({ ...options, initial });
  const weights = drawn(velocity);
  const bytes = saveFlow(velocity, weights, { distribution: "gaussian" }, undefined);
  const loaded = loadFlow(bytes);
  expect(loaded.velocity).toEqual(velocity);
  expect(loaded.weights?.["net.0.weight"]).toEqual(weights["net.0.weight"]);
});

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

for (const [name, given, message] of [
  ["a word that is not known", { hidden: loose("zeros") }, /"net\.2": initial is "zeros".*did you mean "zero"/],
  ["a negative number", { output: -1 }, /"net\.4": initial is -1/],
  ["a layer that there is not", loose({ last: 1 }), /no option "last"/],
  ["one frequency", { first: loose({ frequencies: 3 }) }, /initial is 3 of \[0, 2\], but frequencies are a pair/],
  ["frequencies that fall", { first: { frequencies: [3, 1] } }, /initial is \[3, 1\] of .* the lower one first/],
  ["an unknown part", { first: loose({ frequency: [1, 2] }) }, /did you mean "frequencies"/],
  ["nothing at all", loose(null), /takes an options object/],
] as [string, NonNullable<MlpOptions["initial"]>, RegExp][])
  test(`an mlp refuses to begin with ${name}`, () => {
    expect(() => mlp({ ...options, initial: given })).toThrow(message);
  });
