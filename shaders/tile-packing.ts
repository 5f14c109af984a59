import type { Program } from "../src/network/program.ts";
import type { FusedNetwork } from "./fused-network.ts";
import { type PackedMatrix, type Packing, packedFor } from "./packing.ts";
import { type Tiling, tileSizes } from "./tiling.ts";

/** A matrix (or some of its columns) as the tile reads it: `[k / unroll][k % unroll][block][rows]`, or `[k][width]` where it is split. */
export interface TileMatrix extends PackedMatrix {
  readonly member: string;
  /** Outputs of an invocation; 0: the inputs are split among the blocks, each of which has a part of every sum. */
  readonly rows: number;
}

export interface TilePacking extends Packing<TileMatrix> {
  readonly vectors: ReadonlyMap<string, { readonly member: string; readonly at: number }>;
  /** The struct PfWeights. */
  readonly text: string;
}

const up = (value: number, multiple: number) => multiple * Math.ceil(value / multiple);

/** Outputs that an invocation computes of a layer: 0 where it is so narrow that the blocks share its inputs instead. */
function rowsOf(width: number, { blocks, outputs }: { blocks: number; outputs: number }): number {
  if (width < blocks) return 0;
  const least = Math.ceil(width / blocks);
  return [1, 2, 4, 8, 16].find((rows) => rows >= least) ?? outputs;
}

const vectorOf = (rows: number) => (rows === 1 ? "f32" : `vec${Math.min(rows, 4)}f`);

/** Input after input, `stride` numbers each, and the biases. */
const placesIn = (start: number, stride: number, biases: number) => ({
  weightAt: (output: number, input: number) => start + input * stride + output,
  biasAt: (output: number) => biases + output,
});

/** Where the parameters of a network stand for a tile that evaluates it. */
export function tilePacking(network: FusedNetwork, tiling: Tiling, atOneTime: boolean): TilePacking {
  // with the products of the tangents, which may have other columns
  return tilePackingOf([network.program(atOneTime), network.scheduled(atOneTime, true).program], tiling);
}

/** Where the parameters of some programs stand for a tile, and the struct that names them. */
export function tilePackingOf(programs: readonly Program[], tiling: Tiling): TilePacking {
  const sizes = tileSizes(tiling);
  const { unroll } = sizes;
  const matrices: TileMatrix[] = [];
  const vectors = new Map<string, { member: string; at: number }>();
  const members: string[] = [];
  let at = 0;
  const member = (name: string, type: string, floats: number) => {
    members.push(`  @align(16) ${name}: ${type},`);
    const start = at;
    at += up(floats, 4);
    return start;
  };
  for (const { program, step } of programs.flatMap((program) => program.steps.map((step) => ({ program, step })))) {
    if (step.kind === "parameter" && !vectors.has(step.tensor)) {
      const name = `v${vectors.size}`;
      vectors.set(step.tensor, { member: name, at: member(name, `array<f32, ${step.width}>`, step.width) });
    }
    if (step.kind !== "linear" || packedFor(matrices, step)) continue;
    const { tensor, from, to, width, bias, transposed } = step;
    // of a transpose the columns are outputs, and what it takes are the rows
    const inputs = transposed ? program.width(step.of) : to - from;
    const name = `m${matrices.length}`;
    const rows = rowsOf(width, sizes);
    const own = { member: name, tensor, from, inputs, width, bias, rows, ...(transposed && { transposed }) };
    if (rows === 0) {
      const start = member(name, `array<array<f32, ${width}>, ${inputs}>`, width * inputs);
      const biases = bias === undefined ? 0 : member(`${name}b`, `array<f32, ${width}>`, width);
      matrices.push({ ...own, ...placesIn(start, width, biases) });
      continue;
    }
    const blocks = Math.ceil(width / rows);
    const row = `array<array<${vectorOf(rows)}, ${Math.ceil(rows / 4)}>, ${blocks}>`;
    const turns = Math.ceil(inputs / unroll);
    const start = member(name, `array<array<${row}, ${unroll}>, ${turns}>`, turns * unroll * blocks * rows);
    const biases = bias === undefined ? 0 : member(`${name}b`, row, blocks * rows);
    matrices.push({ ...own, ...placesIn(start, rows * blocks, biases) });
  }
  if (members.length === 0) member("none", "f32", 1);
  return { matrices, vectors, floats: at, text: `struct PfWeights {\n${members.join("\n")}\n}` };
}
