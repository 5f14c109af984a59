import type { Program } from "../src/network/program.ts";
import type { FusedNetwork } from "./fused-network.ts";
import { type PackedMatrix, type Packing, packedFor } from "./packing.ts";
import { isByMatrices } from "./tile-matrices.ts";
import { type Tiling, tileSizes } from "./tiling.ts";

/**
 * A matrix (or some of its columns) as the tile reads it: `[k / unroll][k % unroll][block][rows]`, in f16 `[k / unroll][block][k % unroll][rows]`
 * (what an invocation takes in a turn lies together), `[output][input]` where subgroups multiply matrices, or `[k][width]` where it is split.
 */
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

function vectorOf(rows: number, half: boolean): string {
  if (rows === 1) return half ? "f16" : "f32";
  return `vec${Math.min(rows, 4)}${half ? "h" : "f"}`;
}

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

/** Where the parameters of some programs stand for a tile, and the struct that names them; with `half` they are f16. */
export function tilePackingOf(programs: readonly Program[], tiling: Tiling): TilePacking {
  const sizes = tileSizes(tiling);
  const { unroll } = sizes;
  const isHalf = tiling.half === true;
  const scalar = isHalf ? "f16" : "f32";
  const matrices: TileMatrix[] = [];
  const vectors = new Map<string, { member: string; at: number }>();
  const members: string[] = [];
  let at = 0;
  const member = (name: string, type: string, floats: number) => {
    members.push(`  @align(16) ${name}: ${type},`);
    const start = at;
    at += up(floats, isHalf ? 8 : 4);
    return start;
  };
  for (const { program, step } of programs.flatMap((program) => program.steps.map((step) => ({ program, step })))) {
    if (step.kind === "parameter" && !vectors.has(step.tensor)) {
      const name = `v${vectors.size}`;
      vectors.set(step.tensor, { member: name, at: member(name, `array<${scalar}, ${step.width}>`, step.width) });
    }
    if (step.kind !== "linear" || packedFor(matrices, step)) continue;
    const { tensor, from, to, width, bias, transposed } = step;
    // of a transpose the columns are outputs, and what it takes are the rows
    const inputs = transposed ? program.width(step.of) : to - from;
    const name = `m${matrices.length}`;
    const rows = rowsOf(width, sizes);
    const own = { member: name, tensor, from, inputs, width, bias, rows, ...(transposed && { transposed }) };
    if (rows === 0) {
      const start = member(name, `array<array<${scalar}, ${width}>, ${inputs}>`, width * inputs);
      const biases = bias === undefined ? 0 : member(`${name}b`, `array<${scalar}, ${width}>`, width);
      matrices.push({ ...own, ...placesIn(start, width, biases) });
      continue;
    }
    const blocks = Math.ceil(width / rows);
    if (isByMatrices(tiling, inputs, width)) {
      const start = member(name, `array<f16, ${width * inputs}>`, width * inputs);
      const biases =
        bias === undefined ? 0 : member(`${name}b`, `array<array<vec4h, ${rows / 4}>, ${width / rows}>`, width);
      const weightAt = (output: number, input: number) => start + output * inputs + input;
      matrices.push({ ...own, weightAt, biasAt: (output) => biases + output });
      continue;
    }
    const block = `array<${vectorOf(rows, isHalf)}, ${Math.ceil(rows / 4)}>`;
    const row = `array<${block}, ${blocks}>`;
    const turn = isHalf ? `array<array<${block}, ${unroll}>, ${blocks}>` : `array<${row}, ${unroll}>`;
    const turns = Math.ceil(inputs / unroll);
    const start = member(name, `array<${turn}, ${turns}>`, turns * unroll * blocks * rows);
    const biases = bias === undefined ? 0 : member(`${name}b`, row, blocks * rows);
    const places = placesIn(start, rows * blocks, biases);
    matrices.push({
      ...own,
      ...places,
      ...(isHalf && {
        weightAt: (output: number, input: number) => {
          const before = Math.floor(input / unroll) * blocks + Math.floor(output / rows);
          return start + (before * unroll + (input % unroll)) * rows + (output % rows);
        },
      }),
    });
  }
  if (members.length === 0) member("none", scalar, 1);
  return { matrices, vectors, floats: at, text: `struct PfWeights {\n${members.join("\n")}\n}` };
}
