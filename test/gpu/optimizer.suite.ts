import * as pf from "pushforward";
import { normParts, partialStride, planAdam, planReduceGradient, planSum } from "../../shaders/optimizer.ts";
import { packDispatch } from "../../shaders/pack.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { hiddenMatrices } from "../../src/network/hidden-matrices.ts";
import { networkOf } from "../../src/network/of.ts";
import { optimizerPlan } from "../../src/train/optimizer.ts";
import { denseLayout } from "../../src/velocity/dense-layout.ts";
import { adamState, adamStep, clipFactor, emaStep, muonStep } from "../oracle/optimisers.ts";
import { expect, expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const defaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, ema: undefined, gradientClip: undefined };

const floats = async (gpu: pf.Gpu, arena: Arena, name: string, count: number) =>
  new Float32Array(await readBack(gpu.current, arena.buffer(name), count * 4));

for (const [name, weightDecay, digits] of [
  ["Adam", 0, [0.9000000005, 0.8004122287, 0.7015862729, 0.6039390606]],
  ["AdamW", 0.01, [0.8990000005, 0.7985190272, 0.6989111832, 0.6005985742]],
] as const) {
  test(`four steps of ${name} on θ² have their known digits`, async ({ gpu }) => {
    const arena = new Arena(gpu.current);
    try {
      for (const buffer of ["gradient", "adam.m", "adam.v"]) await arena.allocate(buffer, 16, new Float32Array(4));
      await arena.allocate("parameters", 16, Float32Array.of(1, 0, 0, 0));
      let theta = 1;
      for (const [k, wanted] of digits.entries()) {
        gpu.device.queue.writeBuffer(arena.buffer("gradient"), 0, Float32Array.of(2 * theta));
        const settings = { ...defaults, weightDecay };
        await arena.submit([planAdam({ count: 1, step: k + 1, learningRate: 0.1, settings })]);
        theta = (await floats(gpu, arena, "parameters", 1))[0] ?? Number.NaN;
        // a few roundings of f32 per step
        expectClose([theta], [wanted], { relative: 5e-7 });
      }
    } finally {
      arena.release();
    }
  });
}

test("partial gradients are added, clipped by the norm over all tensors, and stepped as the oracle does", async ({
  gpu,
}) => {
  const count = 1003;
  const stride = partialStride(count);
  expect(stride).not.toBe(count);
  const segments = 3;
  const learningRate = 0.1;
  const gradientClip = 2;
  const ema = 0.99;
  // a large epsilon and a β₂ whose 1 − β₂ is far below f32's rounding of 1: both show up in the size of the step
  const options = { beta1: 0.8, beta2: 0.99999, epsilon: 0.05, weightDecay: 0.1 };
  const arena = new Arena(gpu.current);
  try {
    const initial = uniformArray(count, -1, 1, 1);
    const theta = Float64Array.from(initial);
    const average = Float64Array.from(initial);
    const state = adamState(count);
    await arena.allocate("partials", segments * stride * 4);
    for (const name of ["gradient", "adam.m", "adam.v"]) await arena.allocate(name, count * 4, new Float32Array(count));
    for (const name of ["parameters", "average"]) await arena.allocate(name, count * 4, initial);
    await arena.allocate("norm", 4);
    await arena.allocate("norm.parts", normParts(count) * 4);
    // the last gradient is short enough to be left alone
    for (const [k, size] of [1, 10, 0.01].entries()) {
      const partials = uniformArray(segments * stride, -size, size, 2 + k);
      gpu.device.queue.writeBuffer(arena.buffer("partials"), 0, partials as Float32Array<ArrayBuffer>);
      await arena.submit([
        planReduceGradient({ count, segments, norm: true }),
        planSum({ count: normParts(count), scale: 1, add: false, from: "norm.parts", to: "norm" }),
        planAdam({ count, step: k + 1, learningRate, settings: { ...options, ema, gradientClip } }),
      ]);
      const gradient = Float64Array.from({ length: count }, (_, i) =>
        [0, 1, 2].reduce((sum, s) => sum + (partials[s * stride + i] ?? 0), 0),
      );
      expectClose(await floats(gpu, arena, "gradient", count), gradient, { relative: 1e-6, absolute: 1e-6 * size });
      const factor = clipFactor({ all: gradient }, gradientClip);
      adamStep(
        theta,
        gradient.map((g) => factor * g),
        state,
        { learningRate, ...options },
      );
      emaStep(average, theta, Math.min(ema, (2 + k) / (11 + k)));
    }
    expectClose(await floats(gpu, arena, "parameters", count), theta, { absolute: 1e-6 });
    expectClose(await floats(gpu, arena, "average", count), average, { absolute: 1e-6 });
  } finally {
    arena.release();
  }
});

test("Muon steps the hidden matrices, wide and tall, and AdamW the rest but what is frozen, clipped and averaged, as the oracle does", async ({
  gpu,
}) => {
  const network = networkOf(pf.mlp({ dim: 2, hidden: [17, 9, 25] }));
  const { parameterCount: count, tensors } = network;
  const stride = partialStride(count);
  const matrices = hiddenMatrices(network);
  expect(matrices.map(({ shape }) => shape)).toEqual([
    [9, 17],
    [25, 9],
  ]);
  const [segments, learningRate, gradientClip, ema] = [2, 1e-2, 2, 0.99];
  const frozen = tensors.filter(({ name }) => name === "net.0.weight" || name === "net.4.bias");
  const adam = { beta1: 0.9, beta2: 0.99, epsilon: 0.05, weightDecay: 0.1 };
  const muon = { momentum: 0.9, matrixRate: 5 };
  const plan = await optimizerPlan("test", network, { ...adam, muon, ema, gradientClip }, frozen, gpu.info.software, {
    segments,
    parts: 1,
    packings: [],
  });
  const weights = uniformArray(count, -1, 1, 1);
  const isFrozen = (i: number) => frozen.some(({ offset, size }) => i >= offset && i < offset + size);
  const zeros = new Float32Array(count);
  const start = {
    step: 0,
    sinceLog: 0,
    loss: 0,
    weights,
    first: zeros,
    second: zeros,
    average: weights,
    best: undefined,
  };
  const theta = Float64Array.from(weights);
  const average = Float64Array.from(weights);
  const states = tensors.map(({ size }) => adamState(size));
  const arena = new Arena(gpu.current);
  try {
    await arena.allocate("parameters", count * 4, weights);
    for (const { name, bytes, data } of plan.buffers(start)) await arena.allocate(name, bytes, data);
    await arena.allocate("gradient", count * 4);
    await arena.allocate("partials", segments * stride * 4);
    for (const [k, size] of [1, 10, 1e-9].entries()) {
      const partials = uniformArray(segments * stride, -size, size, 2 + k);
      gpu.device.queue.writeBuffer(arena.buffer("partials"), 0, partials as Float32Array<ArrayBuffer>);
      await arena.submit([...plan.gradient(0), ...plan.step(k + 1, learningRate, 1e5)]);
      const sum = Float64Array.from({ length: count }, (_, i) =>
        isFrozen(i) ? 0 : (partials[i] ?? 0) + (partials[stride + i] ?? 0),
      );
      const gradient = sum.map((g) => clipFactor({ all: sum }, gradientClip) * g);
      for (const [n, tensor] of tensors.entries()) {
        const { offset, size, shape } = tensor;
        const own = theta.subarray(offset, offset + size);
        const slope = gradient.subarray(offset, offset + size);
        const state = states[n] ?? adamState(0);
        const [rows = 0, columns = 0] = shape;
        if (frozen.includes(tensor)) continue;
        if (matrices.includes(tensor))
          muonStep(own, slope, state.m, { rows, columns, learningRate: learningRate * 5, momentum: 0.9 });
        else adamStep(own, slope, state, { learningRate, ...adam });
      }
      emaStep(average, theta, Math.min(ema, (2 + k) / (11 + k)));
    }
    // small singular values are multiplied by 3.4⁵ = 480, and so is their rounding: a step is good to a few 1e-5 of its size
    expectClose(await floats(gpu, arena, "parameters", count), theta, { absolute: 5e-6 });
    expectClose(await floats(gpu, arena, "average", count), average, { absolute: 5e-6 });
  } finally {
    arena.release();
  }
});

test("a step that adds the parts of a gradient and fills packings has the bits of one kernel after the other", async ({
  gpu,
}) => {
  const network = networkOf(pf.mlp({ dim: 2, hidden: [17, 9] }));
  const { parameterCount: count, tensors } = network;
  expect(count % 4).not.toBe(0);
  const stride = partialStride(count);
  const [segments, learningRate] = [3, 1e-2];
  const packings = (["forward", "backward"] as const).map((direction) => {
    const layout = denseLayout(network, direction);
    return { name: layout.name, layout };
  });
  const weights = uniformArray(count, -1, 1, 1);
  const zeros = new Float32Array(count);
  const start = { step: 0, sinceLog: 0, loss: 0, weights, first: zeros, second: zeros, best: undefined };
  for (const freezes of [false, true]) {
    const frozen = freezes ? tensors.filter(({ name }) => name === "net.2.weight") : [];
    for (const ema of [undefined, 0.99]) {
      const bits: Uint32Array[] = [];
      for (const isOne of [true, false]) {
        const settings = { ...defaults, weightDecay: 0.1, ema };
        const given = { segments, parts: 1, packings };
        const plan = await optimizerPlan("test", network, settings, frozen, gpu.info.software, given);
        // ema and what is frozen leave no binding for packings
        expect(plan.packs).toBe(!(freezes && ema !== undefined));
        expect(plan.gradient(0).length).toBe(0);
        const packs = packings.map(({ name, layout }) =>
          packDispatch(layout.source.length, { from: "parameters", map: `${name} map`, to: name }),
        );
        const arena = new Arena(gpu.current);
        try {
          await arena.allocate("parameters", count * 4, weights);
          const buffers = plan.buffers({ ...start, average: ema === undefined ? undefined : weights });
          for (const { name, bytes, data } of buffers) await arena.allocate(name, bytes, data);
          for (const { name, layout } of packings) {
            await arena.allocate(`${name} map`, layout.source.byteLength, layout.source);
            await arena.allocate(name, layout.source.byteLength + 4);
          }
          await arena.allocate("gradient", count * 4);
          await arena.allocate("partials", segments * stride * 4);
          await arena.submit(packs);
          for (let k = 0; k < 3; k++) {
            for (let s = 0; s < segments; s++)
              gpu.device.queue.writeBuffer(
                arena.buffer("partials"),
                4 * s * stride,
                uniformArray(count, -1, 1, 10 * k + s + 2) as Float32Array<ArrayBuffer>,
              );
            const passed = freezes ? "adam.passed" : undefined;
            const each = [
              planReduceGradient({ count, segments, norm: false }),
              planAdam({ count, step: k + 1, learningRate, settings, passed }),
              ...packs,
            ];
            const one = [...plan.step(k + 1, learningRate, 1e5), ...(plan.packs ? [] : packs)];
            await arena.submit(isOne ? one : each);
          }
          const names = ["parameters", "adam.m", "adam.v", ...(ema === undefined ? [] : ["average"])];
          const own = await Promise.all(names.map((name) => floats(gpu, arena, name, count)));
          const packed = await Promise.all(
            packings.map(({ name, layout }) => floats(gpu, arena, name, layout.source.length)),
          );
          bits.push(Uint32Array.from([...own, ...packed].flatMap((all) => [...new Uint32Array(all.buffer)])));
        } finally {
          arena.release();
        }
      }
      expect(bits[0]).toEqual(bits[1]);
      const moved = [...(bits[0] ?? [])].slice(0, count);
      const before = new Uint32Array(weights.buffer);
      for (const { name, offset, size } of tensors)
        expect(moved.slice(offset, offset + size).every((word, i) => word === before[offset + i])).toBe(
          freezes && name === "net.2.weight",
        );
    }
  }
});
