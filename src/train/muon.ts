// What a browser loads for the first training with Muon.
import {
  type MuonProductShape,
  matrixStruct,
  muonTile,
  planMuonMomentum,
  planMuonNorm,
  planMuonProduct,
  planMuonStep,
} from "../../shaders/muon.ts";
import { numbersOf } from "../../shaders/struct.ts";
import { PushforwardError } from "../errors.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import { hiddenMatrices } from "../network/hidden-matrices.ts";
import type { Network, ParameterTensor } from "../network/network.ts";

/** What Muon has beside the settings of Adam, which steps everything but the hidden matrices. */
export interface MuonSettings {
  readonly momentum: number;
  /** Learning rate of the hidden matrices, in learning rates of the others. */
  readonly matrixRate: number;
}

/** Muon for some matrices of a network (shaders/muon.ts): their momentum is in "adam.m", where Adam has its own. */
interface MuonPlan {
  readonly matrices: readonly ParameterTensor[];
  readonly buffers: readonly PlannedBuffer[];
  /** "gradient" → "adam.m", "parameters" and "average", whose decay in this step is `average`. */
  step(o: { learningRate: number; average: number | undefined; maxFlops: number }): Dispatch[];
}

/** Iterations of Jordan et al. 2024. */
const iterations = 5;

/** @throws PushforwardError `unsupported` when there is nothing for it to do. */
export function muonPlan(
  what: string,
  network: Network,
  { momentum, matrixRate }: MuonSettings,
  o: { isSoftware: boolean; gradientClip: number | undefined; frozen: readonly ParameterTensor[] },
): MuonPlan {
  const { isSoftware, gradientClip, frozen } = o;
  const matrices = hiddenMatrices(network).filter((matrix) => !frozen.includes(matrix));
  if (matrices.length === 0)
    throw new PushforwardError(
      "unsupported",
      `${what}: optimizer "muon" is for matrices between two hidden layers, but this network has none that are trained: use "adamw"`,
    );
  const table: number[] = [];
  const blocks: number[] = [];
  const triangles: number[] = [];
  let [values, gram] = [0, 0];
  /** Multiply-adds of a tile with the longest sum, in the two kinds of products. */
  let [longest, shortest] = [0, 0];
  for (const [number, { offset, shape }] of matrices.entries()) {
    const [rows, columns] = [item(shape, 0), item(shape, 1)];
    const [short, long] = [Math.min(rows, columns), Math.max(rows, columns)];
    const [down, along] = [Math.ceil(short / muonTile), Math.ceil(long / muonTile)];
    const parts = blocks.length / 2;
    const own = numbersOf(matrixStruct, {
      parameters: offset,
      short,
      long,
      transposed: rows > columns ? 1 : 0,
      values,
      gram,
      parts,
      blocks: down * along,
    });
    table.push(...own);
    for (let row = 0; row < down; row++) {
      for (let column = 0; column < along; column++) blocks.push(number, row | (column << 16));
      for (let column = row; column < down; column++) triangles.push(number, row | (column << 16));
    }
    values += 2 * down * along * muonTile ** 2;
    gram += down * down * muonTile ** 2;
    longest = Math.max(longest, along * muonTile ** 3);
    shortest = Math.max(shortest, down * muonTile ** 3);
  }
  const blockCount = blocks.length / 2;
  const workgroupSize = isSoftware ? 16 : 64;

  /** A product of all matrices, cut to stay within `maxFlops`. */
  function product(
    kind: MuonProductShape["product"],
    maxFlops: number,
    o: { isFirst: boolean; x: string; result: string },
  ): Dispatch[] {
    const count = kind === "apply" ? blockCount : triangles.length / 2;
    const perTile = 2 * (kind === "gram" ? longest : shortest);
    const most = Math.max(workgroupSize, Math.floor(maxFlops / perTile));
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < count; first += most) {
      const now = Math.min(most, count - first);
      dispatches.push(
        planMuonProduct({ product: kind, workgroupSize }, { ...o, first, count: now, flops: now * perTile }),
      );
    }
    return dispatches;
  }

  const words = (name: string, values: number[]): PlannedBuffer => {
    const data = Uint32Array.from(values);
    return { name, bytes: data.byteLength, data };
  };
  const floats = (name: string, count: number): PlannedBuffer => ({ name, bytes: count * 4 });
  const [start, other] = ["muon.x", "muon.y"];
  return {
    matrices,
    buffers: [
      words("muon.matrices", table),
      words("muon.blocks", blocks),
      words("muon.triangles", triangles),
      floats(start, values),
      floats(other, values),
      floats("muon.gram", gram),
      floats("muon.polynomial", gram),
      floats("muon.squares", blockCount),
      floats("muon.scales", matrices.length),
    ],
    step({ learningRate, average, maxFlops }) {
      let [x, next] = [start, other];
      const dispatches = [
        planMuonMomentum({ blocks: blockCount, momentum, gradientClip }),
        planMuonNorm({ matrices: matrices.length, blocks: blockCount }),
      ];
      for (let i = 0; i < iterations; i++) {
        const isFirst = i === 0;
        dispatches.push(
          ...product("gram", maxFlops, { isFirst, x, result: "muon.gram" }),
          ...product("polynomial", maxFlops, { isFirst, x, result: "muon.polynomial" }),
          ...product("apply", maxFlops, { isFirst, x, result: next }),
        );
        [x, next] = [next, x];
      }
      dispatches.push(planMuonStep({ blocks: blockCount, learningRate: learningRate * matrixRate, x, average }));
      return dispatches;
    },
  };
}
