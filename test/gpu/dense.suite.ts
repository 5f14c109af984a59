import { type DenseTile, plainTile, stagedTile } from "../../shaders/dense.ts";
import type { ClusterShape } from "../../shaders/rows.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { planDense } from "../../src/kernels/dense.ts";
import { expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

// No multiple of a tile, of a slice of inputs, or of four outputs.
const [inputs, outputs, capacity, batch] = [35, 77, 3 * 64, 2];
const rowVectors = Math.ceil(outputs / 4);
const bias = inputs * rowVectors;

const tiles: Record<string, DenseTile> = {
  "a plain tile": plainTile,
  "a tile of three quads": { groups: 1, quads: 3, unroll: 2, workgroupSize: 16, gather: 0 },
  "a tile in workgroup memory": stagedTile,
  "a small tile in workgroup memory": {
    groups: 1,
    quads: 2,
    unroll: 1,
    workgroupSize: 64,
    gather: 0,
    staged: { rows: 4, inputs: 8 },
  },
};

const out = { binding: 0, batched: true, single: false, parameter: false } as const;
const slope = { binding: 1, batched: false, single: false, parameter: false } as const;
const activate = (order: 0 | 1) => ({ name: "activate", activation: "relu", order }) as const;

/** What is made of the sums. */
const clusters: Record<string, { shape: ClusterShape; numbers: Record<string, number> }> = {
  none: {
    shape: { bindings: [true], parameters: [], leaves: [], results: [], stores: [{ ...out, of: { sum: 0 } }] },
    numbers: { s0: 0, s0_rows: outputs },
  },
  "activate and keep slope": {
    shape: {
      bindings: [true, true],
      parameters: [],
      leaves: [],
      results: [0, 1].map((order) => ({ function: activate(order as 0 | 1), of: [{ sum: 0 }], batched: true })),
      stores: [
        { ...out, of: { result: 0 } },
        { ...slope, of: { result: 1 } },
      ],
    },
    numbers: { s0: 0, s0_rows: outputs, s1: 0, s1_rows: outputs },
  },
  "scale by slope": {
    shape: {
      bindings: [true, false],
      parameters: [],
      leaves: [slope],
      results: [{ function: { name: "multiply" }, of: [{ sum: 0 }, { leaf: 0 }], batched: true }],
      stores: [{ ...out, of: { result: 0 } }],
    },
    numbers: { l0: 0, l0_rows: outputs, s0: 0, s0_rows: outputs },
  },
};

for (const [name, tile] of Object.entries(tiles)) {
  for (const epilogue of ["none", "activate and keep slope", "scale by slope"] as const) {
    test(`a dense layer agrees with f64, cut over particles and outputs: ${name}, ${epilogue}`, async ({ gpu }) => {
      const weights = uniformArray(4 * (bias + rowVectors), -1, 1, 1);
      const input = uniformArray(batch * inputs * capacity, -1, 1, 2);
      const slopes = uniformArray(outputs * capacity, -1, 1, 3);
      const arena = new Arena(gpu.current);
      try {
        await arena.allocate("weights", weights.byteLength, weights);
        await arena.allocate("in", input.byteLength, input);
        await arena.allocate("out", batch * outputs * capacity * 4);
        await arena.allocate("slopes", slopes.byteLength, slopes);
        const dispatches = planDense(
          {
            weights: 0,
            rowVectors,
            bias: epilogue === "scale by slope" ? undefined : bias,
            inputs,
            outputs,
            firstRow: 0,
            given: { row: 0, rows: inputs },
            batch,
            cluster: clusters[epilogue] as (typeof clusters)[string],
            names: { weights: "weights", in: "in", cluster: epilogue === "none" ? ["out"] : ["out", "slopes"] },
            work: 0,
          },
          { capacity, maxFlops: 100_000, tile },
        );
        await arena.submit(dispatches);
        const got = new Float32Array(await readBack(gpu.current, arena.buffer("out"), batch * outputs * capacity * 4));
        const wanted = new Float64Array(got.length);
        const sums = new Float64Array(got.length);
        for (let z = 0; z < batch; z++) {
          for (let j = 0; j < outputs; j++) {
            for (let p = 0; p < capacity; p++) {
              let sum = epilogue === "scale by slope" ? 0 : (weights[4 * bias + j] ?? 0);
              for (let k = 0; k < inputs; k++)
                sum += (weights[4 * k * rowVectors + j] ?? 0) * (input[(z * inputs + k) * capacity + p] ?? 0);
              const at = (z * outputs + j) * capacity + p;
              sums[at] = sum;
              const slope = slopes[j * capacity + p] ?? 0;
              wanted[at] = epilogue === "none" ? sum : epilogue === "scale by slope" ? sum * slope : Math.max(sum, 0);
            }
          }
        }
        // 36 roundings of sums below 36
        expectClose(got, wanted, { absolute: 2e-5 });
        if (epilogue === "activate and keep slope") {
          // both matrices of the batch write the slopes, so only where they agree is it known which
          const kept = new Float32Array(await readBack(gpu.current, arena.buffer("slopes"), slopes.byteLength));
          const at = Array.from(kept.keys()).filter((i) => {
            const [a = 0, b = 0] = [sums[i], sums[outputs * capacity + i]];
            return Math.min(Math.abs(a), Math.abs(b)) > 1e-4 && a > 0 === b > 0;
          });
          expectClose(
            at.map((i) => kept[i] ?? Number.NaN),
            at.map((i) => Number((sums[i] ?? 0) > 0)),
            { absolute: 0 },
          );
        }
      } finally {
        arena.release();
      }
    });
  }
}
