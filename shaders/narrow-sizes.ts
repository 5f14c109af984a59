import { weightWindow } from "./tiling.ts";

/**
 * The shape of an MLP whose activations stay in registers: every hidden layer padded to one width.
 * Padded units have zero weights in and out, so they change nothing.
 */
export interface NarrowMlp {
  readonly dim: number;
  /** Hidden layers, at least 1. */
  readonly layers: number;
  /** Common hidden width, a multiple of 4. */
  readonly width: number;
  readonly activation: string;
  /** 0: the single input t; k: sin 2πjt, cos 2πjt for j = 1 … k. */
  readonly fourier: number;
  /** Whether class or context inputs add a per-particle offset to the first layer. */
  readonly conditioned: boolean;
}

/** Windows of weights that a kernel has at most: a device lets it have 12 uniform buffers, and each of them is a branch in every block. */
const mostWindows = 5;

/** Inputs of the first layer that change along a trajectory: x and time. */
export function movingInputs(mlp: NarrowMlp): number {
  return mlp.dim + (mlp.fourier === 0 ? 1 : 2 * mlp.fourier);
}

/** Sizes, in vec4s, of the packed weights: [block][bias, inputs][outputs] first, then [block][inputs][outputs] and the bias. */
export function packedSizes(mlp: NarrowMlp, outputs: number) {
  const firstBlock = Math.ceil(((1 + movingInputs(mlp)) * outputs) / 4);
  const block = (mlp.width * outputs) / 4 + 1;
  const blocks = mlp.width / outputs;
  const lastBlocks = Math.ceil(mlp.dim / outputs);
  return {
    firstBlock,
    block,
    blocks,
    lastBlocks,
    total: firstBlock * blocks + block * (blocks * (mlp.layers - 1) + lastBlocks),
  };
}

/** A part of the packed weights that one uniform binding holds: its first vec4, how many, and the blocks behind the first layer that lie in it. */
export interface BlocksWindow {
  readonly begin: number;
  readonly vectors: number;
  readonly first: number;
  readonly end: number;
}

/** The packed weights cut into windows, each of whole blocks; those of the first layer are all in the first one. Undefined where they do not fit. */
export function blocksWindows(mlp: NarrowMlp, outputs: number): readonly BlocksWindow[] | undefined {
  const { firstBlock, block, blocks, total } = packedSizes(mlp, outputs);
  const start = firstBlock * blocks;
  const all = (total - start) / block;
  const windows: BlocksWindow[] = [];
  for (let first = 0; first < all; ) {
    const at = start + first * block;
    const begin = first === 0 ? 0 : at - (at % weightWindow.step);
    const end = Math.min(all, Math.floor((begin + weightWindow.vectors - start) / block));
    if (end <= first || windows.length === mostWindows) return undefined;
    windows.push({ begin, vectors: start + end * block - begin, first, end });
    first = end;
  }
  return windows;
}

/** The names of the windows of a kernel, and their types in WGSL. */
export const windowTypes = (windows: readonly BlocksWindow[]): [name: string, type: string][] =>
  windows.map(({ vectors }, n) => [n === 0 ? "weights" : `weights${n}`, `array<vec4f, ${vectors}>`]);
