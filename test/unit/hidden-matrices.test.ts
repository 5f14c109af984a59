import { expect, test } from "vitest";
import { activate, add, concat, linear, multiply, scale } from "../../src/network/builder.ts";
import { hiddenMatrices } from "../../src/network/hidden-matrices.ts";
import { mlp } from "../../src/network/mlp.ts";
import { network } from "../../src/network/network.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";

const namesOf = (velocity: Parameters<typeof networkOf>[0]) =>
  hiddenMatrices(networkOf(velocity)).map(({ name }) => name);

test("the hidden matrices of an mlp are all but the first and the last", () => {
  expect(namesOf(mlp({ dim: 2, hidden: [8, 9, 10] }))).toEqual(["net.2.weight", "net.4.weight"]);
  expect(namesOf(mlp({ dim: 2, hidden: [8] }))).toEqual([]);
  expect(namesOf(mlp({ dim: 2, hidden: [] }))).toEqual([]);
  // Fourier features are no matrix that is trained
  const features = { fourier: { count: 4, scale: 1 } };
  expect(namesOf(mlp({ dim: 2, hidden: [8, 9], time: { fourier: 2 }, features }))).toEqual(["net.2.weight"]);
});

test("a matrix that reads an input beside hidden values is none, nor is one of several that end in the velocity", () => {
  const velocity = network({ dim: 2 }, ({ x, t }) => {
    const first = activate(linear(concat(x, t), 8, "first"), "silu");
    const second = activate(linear(concat(first, x), 8, "reads x"), "silu");
    const gated = multiply(second, linear(first, 8, "gate"));
    return scale(add(linear(gated, 2, "out"), linear(activate(linear(gated, 4, "side"), "silu"), 2, "other out")), 0.5);
  });
  expect(namesOf(velocity)).toEqual(["gate.weight", "side.weight"]);
});

test("of a residual network all matrices are hidden but those that read x, time and conditions, and the last", () => {
  const velocity = residualMlp({ dim: 2, width: 8, blocks: 2 });
  const matrices = networkOf(velocity).tensors.filter(({ shape }) => shape.length === 2);
  const hidden = namesOf(velocity);
  expect(matrices.map(({ name }) => name).filter((name) => !hidden.includes(name))).toEqual([
    "embed.0.weight",
    "in.weight",
    "out.weight",
  ]);
});
