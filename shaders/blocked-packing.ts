import type { Program } from "../src/network/program.ts";
import { type PackedMatrix, type Packing, packedFor } from "./packing.ts";

/** A matrix (or some of its columns) in the packing: blocks of outputs, in a block input after input, then the bias. */
export interface BlockedMatrix extends PackedMatrix {
  /** First vec4, vec4s of a block, blocks. */
  readonly at: number;
  readonly block: number;
  readonly blocks: number;
}

/** Where the parameters of some programs are in the packed weights: matrices by their columns, then vectors. */
export function blockedPacking(programs: readonly Program[], outputs: number): Packing<BlockedMatrix> {
  const matrices: BlockedMatrix[] = [];
  const vectors = new Map<string, { at: number }>();
  let at = 0;
  for (const { steps } of programs)
    for (const step of steps) {
      if (step.kind === "parameter" && !vectors.has(step.tensor)) {
        vectors.set(step.tensor, { at: 4 * at });
        at += Math.ceil(step.width / 4);
      }
      if (step.kind !== "linear" || packedFor(matrices, step)) continue;
      const { tensor, from, to, width, bias } = step;
      const inputs = to - from;
      const blocks = Math.ceil(width / outputs);
      const block = Math.ceil((inputs * outputs) / 4) + 1;
      const startOf = (start: number, output: number) => 4 * (start + block * Math.floor(output / outputs));
      const first = at;
      matrices.push({
        ...{ tensor, from, inputs, width, bias, at, block, blocks },
        weightAt: (output, input) => startOf(first, output) + input * outputs + (output % outputs),
        biasAt: (output) => startOf(first, output) + 4 * (block - 1) + (output % outputs),
      });
      at += block * blocks;
    }
  // a subgroup may fetch a few vectors beyond the last one
  return { matrices, vectors, floats: 4 * (at + 8) };
}
