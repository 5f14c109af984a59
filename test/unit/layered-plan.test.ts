import { expect, test } from "vitest";
import { type DenseCall, planDense } from "../../src/kernels/dense.ts";
import { gradientCopies, planWeightGradient } from "../../src/kernels/weight-gradient.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { type MlpVelocity, mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { denseLayout, weightPlaces } from "../../src/velocity/dense-layout.ts";
import { type Layout, unflatten, zero } from "../../src/velocity/parameters.ts";
import { expectClose } from "../homes/expect-close.ts";
import { activationFunctions } from "../oracle/activations.ts";
import { evaluate, inputVector, network } from "../oracle/mlp.ts";

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
    const made = networkOf(velocity);
    const parameters = initialParameters(made, 3).map((value, i) => value + 0.01 * (i % 7));
    const weights = packed(denseLayout(made, "forward"), parameters);
    const places = weightPlaces(made);
    const x = Array.from({ length: velocity.dim }, (_, i) => 0.3 - 0.2 * i);
    const t = 0.4;
    const spec = { ...velocity, activation: "silu" } as const;
    const net = network(spec, unflatten(made.tensors, parameters));
    let rows = [...inputVector(net.spec, t, x, {})];
    for (let l = 0; l <= velocity.hidden.length; l++) {
      const { weights: start, rowVectors } = places.matrix(`net.${2 * l}.weight`, false);
      const bias = places.bias(`net.${2 * l}.bias`);
      const outputs = velocity.hidden[l] ?? velocity.dim;
      const sums = Array.from({ length: outputs }, (_, j) =>
        rows.reduce(
          (sum, h, k) => sum + h * (weights[4 * (start + k * rowVectors) + j] ?? Number.NaN),
          weights[4 * bias + j] ?? Number.NaN,
        ),
      );
      rows = l === velocity.hidden.length ? sums : sums.map(activationFunctions.silu.value);
    }
    expectClose(rows, evaluate(net, t, x).velocity, { relative: 1e-12, absolute: 1e-12 });
  });

  test(`the reverse packing is the transpose of the forward one: ${name}`, () => {
    const made = networkOf(velocity);
    const forward = denseLayout(made, "forward").source;
    const backward = denseLayout(made, "backward").source;
    const places = weightPlaces(made);
    for (const { name, shape } of made.tensors) {
      const [outputs = 0, inputs] = shape;
      if (inputs === undefined) continue;
      const [up, down] = [places.matrix(name, false), places.matrix(name, true)];
      for (let k = 0; k < inputs; k++)
        for (let j = 0; j < outputs; j++)
          expect(backward[4 * (down.weights + j * down.rowVectors) + k]).toBe(
            forward[4 * (up.weights + k * up.rowVectors) + j],
          );
    }
  });
}

/** A product of which nothing is made but what is stored. */
const layer = {
  weights: 0,
  firstRow: 0,
  given: { row: 0, rows: 65 },
  batch: 1,
  cluster: { shape: { bindings: [], parameters: [], leaves: [], results: [], stores: [] }, numbers: {} },
  names: { weights: "weights", in: "h0", cluster: [] },
  work: 0,
} satisfies Partial<DenseCall>;

for (const subgroup of [0, 4, 8]) {
  test(`a dense layer is cut into dispatches that cover each particle once: subgroups of ${subgroup}`, () => {
    const capacity = 64 * 163;
    const [inputs, outputs] = [65, 33];
    const maxFlops = 3_000_000;
    const dispatches = planDense(
      {
        ...layer,
        rowVectors: 9,
        bias: 585,
        inputs,
        outputs,
      },
      { capacity, maxFlops, subgroup },
    );
    expect(dispatches.length).toBeGreaterThan(10);
    let next = 0;
    for (const dispatch of dispatches) {
      const { first, vectors = 0 } = dispatch.params;
      expect(first).toBe(next);
      next += vectors;
      expect(dispatch.flops).toBeLessThanOrEqual(maxFlops);
      expect(dispatch.flops).toBe(8 * inputs * outputs * vectors);
    }
    expect(next).toBe(capacity / 4);
  });

  test(`a dense layer too large for one dispatch is cut over outputs too: subgroups of ${subgroup}`, () => {
    const capacity = 64 * 3;
    const [inputs, outputs] = [65, 333];
    const maxFlops = 8 * inputs * 32 * 16;
    const dispatches = planDense(
      {
        ...layer,
        rowVectors: 84,
        bias: undefined,
        inputs,
        outputs,
      },
      { capacity, maxFlops, subgroup },
    );
    const rows = new Map<number, [quad: number, tiles: number][]>();
    for (const dispatch of dispatches) {
      expect(dispatch.flops).toBeLessThanOrEqual(2 * maxFlops);
      const { first = 0, first_quad: quad = 0 } = dispatch.params;
      rows.set(first, [...(rows.get(first) ?? []), [quad, dispatch.workgroups[1] ?? 1]]);
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
          weights: { offset: 0, rowLength: 65 },
          biasOffset: 65 * 33,
          stride: parameterCount,
          vectors: capacity / 4,
          values: capacity / 4,
          copies,
          sum: "only",
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
        expect(dispatch.params.segment_vectors).toBe(Math.ceil(capacity / 4 / segments));
        expect(dispatch.params.segment).toBe(next);
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
