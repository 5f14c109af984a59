import { activated } from "../../shaders/catalog/activated.ts";
import { accessNumbers, type ClusterShape } from "../../shaders/rows.ts";
import { weightWindow } from "../../shaders/tiling.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { type DenseCall, planDense } from "../../src/kernels/dense.ts";
import { unusedBuffers } from "../../src/kernels/finish.ts";
import { heldPlanner } from "../../src/kernels/held-dense.ts";
import { subgroupForWeights } from "../../src/kernels/tiling.ts";
import { weightNames } from "../../src/kernels/weights.ts";
import type { StepOf } from "../../src/network/program.ts";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const [capacity, batch] = [3 * 64, 2];

/** A buffer with rows for each tangent, or with the same rows for all. */
const each = (binding: number) => ({ binding, batched: true, single: false, parameter: false }) as const;
const all = (binding: number) => ({ ...each(binding), batched: false }) as const;

const product = (leaf: number) =>
  ({ function: { name: "multiply" }, of: [{ leaf }, { sum: 0 }], batched: true }) as const;

/** What the layers of a likelihood's gradient make of a sum. Buffers that are read come first. */
const clusters: Record<string, { shape: ClusterShape; read: number; batch: number }> = {
  "the value of sin": { shape: activated("sin", [0]), read: 0, batch: 1 },
  "value and slope of silu": { shape: activated("silu", [0, 1]), read: 0, batch: 1 },
  "value, slope and curvature of cos": { shape: activated("cos", [0, 1, 2]), read: 0, batch: 1 },
  "the sum": {
    shape: { bindings: [true], parameters: [], leaves: [], results: [], stores: [{ ...all(0), of: { sum: 0 } }] },
    read: 0,
    batch: 1,
  },
  "a product with rows that all tangents share": {
    shape: {
      bindings: [false, true],
      parameters: [],
      leaves: [all(0)],
      results: [product(0)],
      stores: [{ ...each(1), of: { result: 0 } }],
    },
    read: 1,
    batch,
  },
  "the sum and a product": {
    shape: {
      bindings: [false, true, true],
      parameters: [],
      leaves: [all(0)],
      results: [product(0)],
      stores: [
        { ...each(1), of: { sum: 0 } },
        { ...each(2), of: { result: 0 } },
      ],
    },
    read: 1,
    batch,
  },
  "two products, one with rows of each tangent": {
    shape: {
      bindings: [false, false, true, true],
      parameters: [],
      leaves: [each(0), all(1)],
      results: [product(0), product(1)],
      stores: [
        { ...each(2), of: { result: 0 } },
        { ...each(3), of: { result: 1 } },
      ],
    },
    read: 2,
    batch,
  },
};

/** Layers whose inputs are held, all or a few of them, one whose weights no window holds, and one with too few outputs for that. */
const sizes = [
  { inputs: 91, outputs: 33, of: /./ },
  { inputs: 3, outputs: 21, of: /two products/ },
  { inputs: 128, outputs: 130, of: /^the sum and/ },
  { inputs: 70, outputs: 2, of: /^the (value|sum$)/ },
];

for (const { inputs, outputs, of } of sizes)
  for (const [made, { shape, read, batch }] of Object.entries(clusters).filter(([made]) => of.test(made)))
    test(`a layer of ${inputs} inputs and ${outputs} outputs has the same bits in a text that layers share: ${made}`, async ({
      gpu,
    }) => {
      const rowVectors = { own: Math.ceil(outputs / 4), other: Math.ceil(inputs / 4) };
      // within a window, not where one begins
      const first = 16 + 5;
      const bias = first + Math.max(inputs * rowVectors.own, outputs * rowVectors.other);
      const names = shape.bindings.map((_, i) => `rows ${i}`);
      const hasBias = shape.results[0]?.function.name === "activate";
      const arena = new Arena(gpu.current);
      const bytes = batch * outputs * capacity * 4;
      const at = [0, outputs] as const;
      const plan = (share: boolean) => {
        const call: DenseCall = {
          weights: first,
          rowVectors: rowVectors.own,
          bias: hasBias ? bias : undefined,
          inputs,
          outputs,
          firstRow: 0,
          given: { row: 0, rows: inputs },
          batch,
          cluster: {
            shape,
            numbers: accessNumbers(
              shape.leaves.map(() => at),
              shape.stores.map(() => at),
            ),
          },
          names: { weights: weightNames.forward, in: "in", cluster: names },
          work: 1,
        };
        const places = {
          matrix: () => ({ weights: first, rowVectors: rowVectors.other }),
          bias: () => bias,
          offset: () => 0,
        };
        const step = { transposed: false, tensor: "w", from: 0, bias: hasBias ? "b" : undefined } as StepOf<"linear">;
        const range = { capacity, maxFlops: 300_000, tangents: batch, subgroup: subgroupForWeights(gpu.info) };
        return heldPlanner(places, range.subgroup, share)(call, step, range) ?? planDense(call, range);
      };
      try {
        const weights = uniformArray(4 * (bias + rowVectors.own), -1, 1, 1);
        for (const name of [weightNames.forward, weightNames.backward])
          await arena.allocate(name, weights.byteLength + 16 * weightWindow.vectors, weights);
        const input = uniformArray(batch * inputs * capacity, -1, 1, 2);
        await arena.allocate("in", input.byteLength, input);
        for (const { name, bytes } of unusedBuffers) await arena.allocate(name, bytes);
        for (const [i, name] of names.entries())
          await arena.allocate(name, bytes, uniformArray(bytes / 4, -1, 1, 3 + i));
        const run = async (share: boolean) => {
          const dispatches = plan(share);
          const encoder = gpu.device.createCommandEncoder();
          for (const name of names.slice(read)) encoder.clearBuffer(arena.buffer(name));
          gpu.device.queue.submit([encoder.finish()]);
          await arena.submit(dispatches);
          const stored: Float32Array[] = [];
          for (const name of names.slice(read))
            stored.push(new Float32Array(await readBack(gpu.current, arena.buffer(name), bytes)));
          return { stored, texts: new Set(dispatches.map(({ kernel }) => kernel.code)) };
        };
        const [own, shared] = [await run(false), await run(true)];
        expect(shared.stored).toEqual(own.stored);
        expect([...shared.texts].some((text) => own.texts.has(text))).toBe(false);
        for (const rows of own.stored)
          expect(rows.every((value, i) => i >= rows.length / batch || value !== 0)).toBe(true);
      } finally {
        arena.release();
      }
    });
