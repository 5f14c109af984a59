import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { subgroupForWeights } from "../../src/kernels/tiling.ts";
import { planWeightGradient } from "../../src/kernels/weight-gradient.ts";
import { expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

/** Sizes of a matrix beside those of a workgroup's tile: below, one, more than one, and none that fills its rows. */
const sizes = [
  { inputs: 3, outputs: 64 },
  { inputs: 64, outputs: 2 },
  { inputs: 67, outputs: 131 },
];

// particles of which some are tangents, and segments that end within a slice
const [vectors, values, copies] = [83, 50, 5];

for (const [whose, inSoftware] of [
  ["a GPU's", false],
  ["an adapter in software's", true],
] as const)
  for (const { inputs, outputs } of sizes)
    test(`${whose} weight gradient of ${inputs} × ${outputs} agrees with f64, written and added, and has the same bits in parts`, async ({
      gpu,
    }) => {
      // where invocations hold what a subgroup of that size adds up
      if (inSoftware && subgroupForWeights(gpu.info) === 0) return;
      const cotangents = uniformArray(4 * vectors * (outputs + 1), -1, 1, 1);
      const activations = uniformArray(4 * vectors * (inputs + 2), -1, 1, 2);
      const parameterCount = outputs * (inputs + 2) + 7;
      const arena = new Arena(gpu.current);
      try {
        await arena.allocate("abar", cotangents.byteLength, cotangents);
        await arena.allocate("h", activations.byteLength, activations);
        await arena.allocate("partials", 4 * copies * parameterCount, new Float32Array(copies * parameterCount));
        const plan = (sum: "only" | "added", maxFlops: number) =>
          planWeightGradient(
            {
              inputs,
              outputs,
              // a matrix with one column more than are written
              weights: { offset: 1, rowLength: inputs + 1 },
              biasOffset: 1 + outputs * (inputs + 1),
              stride: parameterCount,
              vectors,
              values,
              copies,
              sum,
              cotangents: { name: "abar", row: 1 },
              activations: { name: "h", row: 2 },
            },
            inSoftware ? gpu.info : { software: false, subgroupSize: 32 },
            maxFlops,
          );
        const run = async (maxFlops: number) => {
          const dispatches = [...plan("only", maxFlops), ...plan("added", maxFlops)];
          await arena.submit(dispatches);
          return new Float32Array(await readBack(gpu.current, arena.buffer("partials"), 4 * copies * parameterCount));
        };
        const got = await run(1e12);
        expectClose(await run(1), got, { absolute: 0 });
        const sums = new Float64Array(parameterCount);
        const wanted = new Float64Array(parameterCount);
        for (let copy = 0; copy < copies; copy++)
          for (let i = 0; i < parameterCount; i++) sums[i] = (sums[i] ?? 0) + (got[copy * parameterCount + i] ?? 0);
        const at = (rows: Float32Array, row: number, p: number) => rows[4 * vectors * row + p] ?? Number.NaN;
        for (let o = 0; o < outputs; o++) {
          for (let i = 0; i < inputs; i++) {
            let sum = 0;
            for (let p = 0; p < 4 * vectors; p++) sum += at(cotangents, o + 1, p) * at(activations, i + 2, p);
            wanted[1 + o * (inputs + 1) + i] = 2 * sum;
          }
        }
        for (let o = 0; o < outputs; o++) {
          let sum = 0;
          for (let p = 0; p < 4 * values; p++) sum += at(cotangents, o + 1, p);

          const place = 1 + outputs * (inputs + 1) + o;
          wanted[place] = 2 * sum;
        }
        expectClose(sums, wanted, { absolute: 2e-4 });
      } finally {
        arena.release();
      }
    });
