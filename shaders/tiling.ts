/**
 * How a fused kernel maps particles and outputs to invocations. An invocation owns `lanes × groups` particles:
 * each number of theirs is held in `groups` vectors of `lanes` components.
 */
export interface Tiling {
  /** Components of the particle vector type: f32, vec2f or vec4f. */
  readonly lanes: 1 | 2 | 4;
  /** Particle vectors per invocation. */
  readonly groups: 1 | 2 | 4;
  /** Outputs of a layer that are computed together. */
  readonly outputs: 1 | 2 | 4 | 8 | 16;
  /** Subgroup size when lanes of a subgroup fetch weights for each other; 0 when every invocation reads every weight. */
  readonly gather: number;
  /** Where the packed weights live; `windows` are several uniform buffers, which are parts of one. */
  readonly space: "uniform" | "storage" | "windows";
  /** How a layer's outputs are kept until the layer is done: an indexed private array, or a rotation of registers. */
  readonly keep: "array" | "rotate";
  readonly workgroupSize: number;
  /**
   * A text that is as short as may be, and runs slower: stages without a weight have that of the others, and value and tangents of a
   * narrow mlp are turns of one loop (narrow-turns.ts).
   */
  readonly turns?: true;
  /**
   * Products of one shape that follow each other are turns of one loop: a text of half the length, with a branch in each of its rows. For
   * compilers that take as long as a text is; where both sides of a branch are computed, it costs more than it saves.
   */
  readonly sharesProducts?: true;
  /**
   * Loops that only sum over the rows of an array have a text for each row: for adapters on which an index that a loop counts is
   * looked up lane by lane.
   */
  readonly unrollsSums?: true;
  /**
   * Particles per workgroup when their values live in workgroup memory and the workgroup shares the outputs among its invocations
   * (shaders/tile.ts): `lanes` particles are a column, and the invocations of a column its blocks. `groups` is 1.
   */
  readonly tile?: number;
  /** Inputs of a product that one turn of a tile's loop takes. */
  readonly unroll?: 1 | 2 | 4 | 8 | 16;
  /**
   * A tile's columns are whole subgroups, whose invocations then read the same weights: of any size that the device has, or of this one,
   * which the kernel asks for where sizes may vary.
   */
  readonly wave?: "any" | number;
  /**
   * A tile takes less memory: gradients of weights fetch half of the inputs of a product at a time, where it has a multiple of eight, and
   * what an invocation wrote and is the only one to read comes from the scratch.
   */
  readonly sparesMemory?: true;
  /** Weights and activations in f16 (shader-f16): see {@link narrowMlpText}, and tile-emitter.ts for tiles. Weights then live in storage. */
  readonly half?: true;
  /** Products of a tile in f16 by the subgroup's matrices (chromium-experimental-subgroup-matrix): see tile-matrices.ts. */
  readonly matrices?: true;
}

/** Slots (the particles that share one index, `lanes × groups` or a tile's `lanes`) that a workgroup takes. */
export function slotsPerWorkgroup({ tile, lanes, workgroupSize }: Tiling): number {
  return tile === undefined ? workgroupSize : tile / lanes;
}

/** Particles in one slot. */
export function particlesPerSlot({ tile, lanes, groups }: Tiling): number {
  return tile === undefined ? lanes * groups : lanes;
}

/** How a tile is laid out: vectors of particles, invocations for each of them, inputs a turn, and rows in f32 that lie together. */
export function tileSizes({ tile = 0, lanes, workgroupSize, unroll = 4, outputs, half }: Tiling) {
  const columns = tile / lanes;
  return { columns, blocks: workgroupSize / columns, unroll, outputs, rowUnroll: half ? 1 : unroll };
}

/** The particle vector type. */
export function vectorType(tiling: Tiling): string {
  return tiling.lanes === 1 ? "f32" : `vec${tiling.lanes}f`;
}

/** The vector type of activations between layers. */
export function activationType(tiling: Tiling): string {
  if (!tiling.half) return vectorType(tiling);
  return tiling.lanes === 1 ? "f16" : `vec${tiling.lanes}h`;
}

/**
 * Whether a text is made for SwiftShader, whose compiler has registers for one number at a time: what a vector of particles has is
 * computed component by component, and the layers behind the first are turns of one loop.
 */
export const isByComponent = ({ lanes, outputs, keep, half }: Tiling) =>
  lanes === 4 && outputs === 1 && keep === "array" && !half;

/** The vec4 component names, and how a scalar is spread over the particle vector. */
export const components = ["x", "y", "z", "w"] as const;

export function splat(tiling: Tiling, scalar: string): string {
  return tiling.lanes === 1 ? scalar : `${vectorType(tiling)}(${scalar})`;
}

/**
 * A bias in a block of weights: SwiftShader loads the components of a vector one by one, of which one output wants the first. What a
 * load is followed by, and the bias of output r in what was loaded.
 */
const hasOneBias = ({ gather, outputs }: Tiling) => gather === 4 && outputs === 1;
export const biasPart = (tiling: Tiling) => (hasOneBias(tiling) ? ".x" : "");
export const biasOf = (tiling: Tiling, bias: string, r: number) =>
  hasOneBias(tiling) ? bias : `${bias}.${components[r]}`;

/**
 * Whether the table of a network is an array of columns, of which a stage takes one by a pointer: SwiftShader divides the length of an
 * array wherever one of its numbers is read. Where there are classes, particles read other columns.
 */
export const hasColumns = ({ classes }: { readonly classes: number }, { gather }: Tiling) =>
  gather === 4 && classes === 0;

/** How all of a subgroup get what one of them has. SwiftShader's subgroups are quads, for which it makes half of the instructions. */
export const broadcastOf = (subgroup: number) => (subgroup === 4 ? "quadBroadcast" : "subgroupBroadcast");

/** Vectors of weights that a kernel sees at a time in a uniform buffer, whose size every device allows, and those between places for it. */
export const weightWindow = { vectors: 4096, step: 16 } as const;

/** Inputs whose products are summed in f16 before the sum goes into an f32: more are faster and rounder. */
export const halfRun = 16;
