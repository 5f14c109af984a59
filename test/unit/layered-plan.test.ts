import { expect, test } from "vitest";
import type { Dispatch } from "../../src/gpu/kernel.ts";
import { planDense } from "../../src/kernels/dense.ts";
import { gradientCopies, planWeightGradient } from "../../src/kernels/weight-gradient.ts";
import {
  backwardLayers,
  denseBackwardLayout,
  denseForwardLayout,
  forwardLayers,
} from "../../src/velocity/dense-layout.ts";
import { initialParameters } from "../../src/velocity/initialisation.ts";
import { type MlpVelocity, mlp, parameterTensors } from "../../src/velocity/mlp.ts";
import { type Layout, unflatten, zero } from "../../src/velocity/parameters.ts";
import { expectClose } from "../homes/expect-close.ts";
import { activationFunctions } from "../oracle/activations.ts";
import { evaluate, network } from "../oracle/mlp.ts";

/** Word `i` of a dispatch's params. */
function word(dispatch: Dispatch, i: number): number {
  const params = dispatch.params ?? new Uint8Array(0);
  return new DataView(params.buffer, params.byteOffset).getUint32(4 * i, true);
}

function packed(layout: Layout, parameters: Float32Array): Float64Array {
  return Float64Array.from(layout.source, (at) => (at === zero ? 0 : (parameters[at] ?? Number.NaN)));
}

const shapes: [string, MlpVelocity][] = [
  ["plain", mlp({ dim: 2, hidden: [5, 7] })],
  ["time first, Fourier", mlp({ dim: 3, hidden: [6], inputOrder: "t,x", time: { fourier: 2 } })],
  ["no hidden layer, time first", mlp({ dim: 5, hidden: [], inputOrder: "t,x" })],
];

for (const [name, velocity] of shapes) {
  test(`a forward pass through the packed weights is the network's: ${name}`, () => {
    const parameters = initialParameters(velocity, 3).map((value, i) => value + 0.01 * (i % 7));
    const weights = packed(denseForwardLayout(velocity), parameters);
    const x = Array.from({ length: velocity.dim }, (_, i) => 0.3 - 0.2 * i);
    const t = 0.4;
    const time =
      velocity.time === "concat"
        ? [t]
        : Array.from({ length: velocity.time.fourier }, (_, j) => 2 * Math.PI * (j + 1) * t).flatMap((angle) => [
            Math.sin(angle),
            Math.cos(angle),
          ]);
    let rows = [...x, ...time];
    const layers = forwardLayers(velocity);
    for (const [l, { inputs, outputs, weights: start, rowVectors, bias }] of layers.entries()) {
      expect(rows.length).toBe(inputs);
      const sums = Array.from({ length: outputs }, (_, j) =>
        rows.reduce(
          (sum, h, k) => sum + h * (weights[4 * (start + k * rowVectors) + j] ?? Number.NaN),
          weights[4 * bias + j] ?? Number.NaN,
        ),
      );
      rows = l === layers.length - 1 ? sums : sums.map(activationFunctions[velocity.activation].value);
    }
    const net = network(velocity, unflatten(parameterTensors(velocity), parameters));
    expectClose(rows, evaluate(net, t, x).velocity, { relative: 1e-12, absolute: 1e-12 });
  });

  test(`the reverse packing is the transpose of the forward one: ${name}`, () => {
    const forward = denseForwardLayout(velocity).source;
    const backward = denseBackwardLayout(velocity).source;
    const transposed = backwardLayers(velocity);
    for (const [l, { inputs, outputs, weights, rowVectors }] of forwardLayers(velocity).entries()) {
      const other = transposed[l];
      expect([other?.inputs, other?.outputs]).toEqual([outputs, inputs]);
      for (let k = 0; k < inputs; k++) {
        for (let j = 0; j < outputs; j++) {
          const at = 4 * ((other?.weights ?? Number.NaN) + j * (other?.rowVectors ?? Number.NaN)) + k;
          expect(backward[at]).toBe(forward[4 * (weights + k * rowVectors) + j]);
        }
      }
    }
  });
}

for (const subgroup of [0, 4, 8]) {
  test(`a dense layer is cut into dispatches that cover each particle once: subgroups of ${subgroup}`, () => {
    const capacity = 64 * 163;
    const [inputs, outputs] = [65, 33];
    const maxFlops = 3_000_000;
    const dispatches = planDense(
      {
        layer: { weights: 0, rowVectors: 9, bias: 585 },
        inputs,
        outputs,
        epilogue: "activate",
        bias: true,
        activation: "silu",
        names: { weights: "weights", in: "h0", out: "h1" },
      },
      { capacity, maxFlops, subgroup },
    );
    expect(dispatches.length).toBeGreaterThan(10);
    let next = 0;
    for (const dispatch of dispatches) {
      expect(word(dispatch, 0)).toBe(next);
      next += word(dispatch, 1);
      expect(dispatch.flops).toBeLessThanOrEqual(maxFlops);
      expect(dispatch.flops).toBe(8 * inputs * outputs * word(dispatch, 1));
    }
    expect(next).toBe(capacity / 4);
  });

  test(`a dense layer too large for one dispatch is cut over outputs too: subgroups of ${subgroup}`, () => {
    const capacity = 64 * 3;
    const [inputs, outputs] = [65, 333];
    const maxFlops = 8 * inputs * 32 * 16;
    const dispatches = planDense(
      {
        layer: { weights: 0, rowVectors: 84, bias: 65 * 84 },
        inputs,
        outputs,
        epilogue: "scale by slope",
        bias: false,
        activation: "silu",
        names: { weights: "weights", in: "d0", out: "d1", slopes: "g1" },
      },
      { capacity, maxFlops, subgroup },
    );
    const rows = new Map<number, [quad: number, tiles: number][]>();
    for (const dispatch of dispatches) {
      expect(dispatch.flops).toBeLessThanOrEqual(2 * maxFlops);
      const first = word(dispatch, 0);
      rows.set(first, [...(rows.get(first) ?? []), [word(dispatch, 10), dispatch.workgroups[1] ?? 1]]);
    }
    const quads = subgroup || 1;
    for (const parts of rows.values()) {
      expect(parts.length).toBeGreaterThan(1);
      let next = 0;
      for (const [quad, tiles] of parts) {
        expect(quad).toBe(next);
        next += quads * tiles;
      }
      expect(next).toBe(quads * Math.ceil(84 / quads));
    }
    expect(dispatches.reduce((sum, { flops }) => sum + flops, 0)).toBeCloseTo(2 * inputs * outputs * capacity, -2);
  });

  test(`a weight gradient’s segments do not depend on how it is cut, subgroups of ${subgroup}`, () => {
    const capacity = 64 * 163;
    const parameterCount = 66 * 33;
    const gpu = { software: false, subgroupSize: 32 };
    const copies = gradientCopies(gpu, capacity, parameterCount);
    const plan = (maxFlops: number) =>
      planWeightGradient(
        {
          inputs: 65,
          outputs: 33,
          weightOffset: 0,
          biasOffset: 65 * 33,
          parameterCount,
          vectors: capacity / 4,
          values: capacity / 4,
          copies,
          accumulate: false,
          cotangents: { name: "abar1", row: 0 },
          activations: { name: "h0", row: 0 },
        },
        gpu,
        maxFlops,
      );
    const segments = copies;
    for (const maxFlops of [1, 3_000_000, 1e12]) {
      let next = 0;
      for (const dispatch of plan(maxFlops)) {
        const length = word(dispatch, 2);
        expect(length).toBe(Math.ceil(capacity / 4 / segments));
        expect(word(dispatch, 10)).toBe(next);
        next += dispatch.workgroups[2] ?? 0;
        // one segment is the least that a dispatch can hold
        expect(dispatch.flops <= maxFlops || dispatch.workgroups[2] === 1).toBe(true);
      }
      expect(next).toBe(segments);
    }
    expect(plan(1e12).length).toBe(1);
  });
}

test("partial sums of a weight gradient stay within 64 MiB, whatever the network", () => {
  for (const count of [1, 9_000, 1_000_000, 16_777_216, 40_000_000]) {
    for (const device of [
      { software: false, subgroupSize: 32 },
      { software: true, subgroupSize: 4 },
      { software: true, subgroupSize: 0 },
    ]) {
      const copies = gradientCopies(device, 1 << 20, count);
      expect(copies).toBeGreaterThanOrEqual(1);
      expect(copies === 1 || copies * count * 4 <= 64 << 20).toBe(true);
    }
  }
});
