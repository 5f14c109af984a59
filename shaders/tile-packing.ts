import { must } from "../src/must.ts";
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
  /** What the weights are called, and the biases where there are any. */
  readonly member: string;
  readonly biases: string;
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

/** A member of the struct: what it is called, and its first number once all are known. */
interface Member {
  readonly name: string;
  readonly start: () => number;
}

/** Input after input, `stride` numbers each, and the biases. */
const placesIn = (weights: Member, stride: number, biases: Member | undefined) => ({
  weightAt: (output: number, input: number) => weights.start() + input * stride + output,
  biasAt: (output: number) => must(biases, "the biases of a matrix").start() + output,
});

/** Where the parameters of a network stand for a tile that evaluates it. */
export function tilePacking(network: FusedNetwork, tiling: Tiling, atOneTime: boolean): TilePacking {
  // with the products of the tangents, which may have other columns
  return tilePackingOf([network.program(atOneTime), network.scheduled(atOneTime, true).program], tiling);
}

/** Members of the struct: those of one type, where they lie together. */
interface Kind {
  readonly name: string;
  readonly type: string;
  readonly floats: number;
  count: number;
  /** The first number of the first one, once all are known. */
  at: number;
}

/**
 * Where the parameters of some programs stand for a tile, and the struct that names them; with `half` they are f16. `together`: those of
 * one type are an array, so that a kernel may find them by a number.
 */
export function tilePackingOf(programs: readonly Program[], tiling: Tiling, together = false): TilePacking {
  const sizes = tileSizes(tiling);
  const { unroll } = sizes;
  const isHalf = tiling.half === true;
  const scalar = isHalf ? "f16" : "f32";
  const matrices: TileMatrix[] = [];
  const vectors = new Map<string, { member: string; start: () => number }>();
  const kinds: Kind[] = [];
  const member = (own: string, type: string, floats: number) => {
    const known = together ? kinds.find((kind) => kind.type === type) : undefined;
    const kind = known ?? { name: together ? `k${kinds.length}` : own, type, floats, count: 0, at: 0 };
    if (!known) kinds.push(kind);
    const number = kind.count++;
    return { name: together ? `${kind.name}[${number}u]` : own, start: () => kind.at + number * floats };
  };
  for (const { program, step } of programs.flatMap((program) => program.steps.map((step) => ({ program, step })))) {
    if (step.kind === "parameter" && !vectors.has(step.tensor)) {
      const { name, start } = member(`v${vectors.size}`, `array<${scalar}, ${step.width}>`, step.width);
      vectors.set(step.tensor, { member: name, start });
    }
    if (step.kind !== "linear" || packedFor(matrices, step)) continue;
    const { tensor, from, to, width, bias, transposed } = step;
    // of a transpose the columns are outputs, and what it takes are the rows
    const inputs = transposed ? program.width(step.of) : to - from;
    const name = `m${matrices.length}`;
    const rows = rowsOf(width, sizes);
    const own = { tensor, from, inputs, width, bias, rows, ...(transposed && { transposed }) };
    const named = (weights: Member, biases: Member | undefined) => ({
      ...own,
      member: weights.name,
      biases: biases?.name ?? "",
    });
    const biased = (type: string, floats: number) =>
      bias === undefined ? undefined : member(`${name}b`, type, floats);
    if (rows === 0) {
      const weights = member(name, `array<array<${scalar}, ${width}>, ${inputs}>`, width * inputs);
      const biases = biased(`array<${scalar}, ${width}>`, width);
      matrices.push({ ...named(weights, biases), ...placesIn(weights, width, biases) });
      continue;
    }
    const blocks = Math.ceil(width / rows);
    if (isByMatrices(tiling, inputs, width)) {
      const weights = member(name, `array<f16, ${width * inputs}>`, width * inputs);
      const biases = biased(`array<array<vec4h, ${rows / 4}>, ${width / rows}>`, width);
      const weightAt = (output: number, input: number) => weights.start() + output * inputs + input;
      matrices.push({ ...named(weights, biases), ...placesIn(weights, 1, biases), weightAt });
      continue;
    }
    const block = `array<${vectorOf(rows, isHalf)}, ${Math.ceil(rows / 4)}>`;
    const row = `array<${block}, ${blocks}>`;
    const turn = isHalf ? `array<array<${block}, ${unroll}>, ${blocks}>` : `array<${row}, ${unroll}>`;
    const turns = Math.ceil(inputs / unroll);
    const weights = member(name, `array<${turn}, ${turns}>`, turns * unroll * blocks * rows);
    const biases = biased(row, blocks * rows);
    matrices.push({
      ...named(weights, biases),
      ...placesIn(weights, rows * blocks, biases),
      ...(isHalf && {
        weightAt: (output: number, input: number) => {
          const before = Math.floor(input / unroll) * blocks + Math.floor(output / rows);
          return weights.start() + (before * unroll + (input % unroll)) * rows + (output % rows);
        },
      }),
    });
  }
  if (kinds.length === 0) member("none", scalar, 1);
  let floats = 0;
  const members = kinds.map((kind) => {
    const { name, type, count } = kind;
    kind.at = floats;
    floats += up(count * kind.floats, isHalf ? 8 : 4);
    return `  @align(16) ${name}: ${together ? `array<${type}, ${count}>` : type},`;
  });
  return {
    matrices,
    vectors: new Map([...vectors].map(([tensor, { member, start }]) => [tensor, { member, at: start() }])),
    floats,
    text: `struct PfWeights {\n${members.join("\n")}\n}`,
  };
}
