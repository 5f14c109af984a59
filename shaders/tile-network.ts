import type { FusedNetwork } from "./fused-network.ts";
import { Emitter } from "./tile-emitter.ts";
import { matricesBytes, matricesText } from "./tile-matrices.ts";
import {
  cellText,
  halfRowsTogether,
  type Regions,
  type Row,
  TileMemory,
  type TileTangents,
  up,
} from "./tile-memory.ts";
import { type TilePacking, tilePacking } from "./tile-packing.ts";
import { activationType, type Tiling, tileSizes, vectorType } from "./tiling.ts";

/**
 * A network evaluated for a tile of particles by a whole workgroup: values lie in workgroup memory, `pf_tile` [row][column], and an
 * invocation (block `jb`, column `q`) computes a few rows of each layer for the particles of its column. Products run in loops over
 * their inputs, so that the text does not grow with the width and compilers neither hoist nor spill.
 */
export class TileNetwork {
  readonly #network: FusedNetwork;
  readonly #tiling: Tiling;
  readonly #atOneTime: boolean;
  readonly #tangents: TileTangents | undefined;
  readonly #regions: Regions;
  readonly packing: TilePacking;
  /** Rows of the tile's memory in f32, and of activations in f16. */
  readonly rows: number;
  readonly halfRows: number;
  /** Whether the subgroups' matrices are of use, and the rows of their sums. */
  readonly suitsMatrices: boolean;
  readonly #sumRows: number;

  /** `tangents` are those of the kernel's widest evaluation. */
  constructor(network: FusedNetwork, tiling: Tiling, atOneTime: boolean, tangents: TileTangents | undefined) {
    this.#network = network;
    this.#tiling = tiling;
    this.#atOneTime = atOneTime;
    this.#tangents = tangents;
    this.packing = tilePacking(network, tiling, atOneTime);
    const dim = up(network.dim, tileSizes(tiling).rowUnroll);
    const count = tangents?.count ?? 0;
    const jv = 2 * dim;
    const dx = jv + count * dim;
    this.#regions = { x: 0, u: dim, jv, dx, end: dx + (tangents?.kind === "given" ? count * dim : 0), half: 0 };
    const emitters = [undefined, tangents].map((own) => this.#emitter(own));
    this.rows = Math.max(...emitters.map(({ rows }) => rows));
    this.halfRows = Math.max(...emitters.map(({ halfRows }) => halfRows));
    this.suitsMatrices = tiling.matrices === true && emitters.every(({ suitsMatrices }) => suitsMatrices);
    this.#sumRows = Math.max(...emitters.map(({ sumRows }) => sumRows));
    this.#regions = { ...this.#regions, half: this.halfRows };
  }

  #emitter(tangents: TileTangents | undefined): Emitter {
    const schedule = this.#network.scheduled(this.#atOneTime, tangents !== undefined);
    const memory = new TileMemory(schedule, this.#tiling, tangents, this.#regions);
    return new Emitter(this.#network, schedule, this.#tiling, tangents, this.packing, memory);
  }

  /** Bytes of the tile's memory for each particle. */
  get bytes(): number {
    if (this.#tiling.matrices) return 4 * this.rows + matricesBytes(this.#tiling, this.halfRows, this.#sumRows);
    const half = this.#tiling.half ? 2 * halfRowsTogether * this.#halfTurns : 0;
    return 4 * up(this.rows, tileSizes(this.#tiling).rowUnroll) + half;
  }

  get #halfTurns(): number {
    return Math.max(1, Math.ceil(this.halfRows / halfRowsTogether));
  }

  /** Module-scope text but for the bindings. */
  get declarations(): string {
    const { columns, rowUnroll } = tileSizes(this.#tiling);
    const v = vectorType(this.#tiling);
    const type = `array<array<array<${activationType(this.#tiling)}, ${halfRowsTogether}>, ${columns}>, ${this.#halfTurns}>`;
    const half = this.#tiling.matrices
      ? matricesText(this.#tiling, this.halfRows, this.#sumRows)
      : this.#tiling.half
        ? `var<workgroup> pf_half: ${type};\n`
        : "";
    return `${this.packing.text}
// values [row][column]
var<workgroup> pf_tile: array<array<array<${v}, ${columns}>, ${rowUnroll}>, ${Math.ceil(this.rows / rowUnroll)}>;
${half}${this.#network.declarations(this.#tiling)}`;
  }

  #cell(base: number, row: Row): string {
    return cellText(base, row, tileSizes(this.#tiling).rowUnroll);
  }

  /** Component `row` of the state that the network is evaluated at. */
  x(row: Row): string {
    return this.#cell(this.#regions.x, row);
  }

  u(row: Row): string {
    return this.#cell(this.#regions.u, row);
  }

  /** Component `row` of tangent s, from 1. */
  dx(s: number, row: Row): string {
    return this.#cell(this.#regions.dx + (s - 1) * up(this.#network.dim, tileSizes(this.#tiling).rowUnroll), row);
  }

  jv(s: number, row: Row): string {
    return this.#cell(this.#regions.jv + (s - 1) * up(this.#network.dim, tileSizes(this.#tiling).rowUnroll), row);
  }

  /**
   * Statements, in uniform control flow, that evaluate the network where x (and dx) lie in the tile; every invocation has passed a
   * barrier since they were written, and passes one after u (and jv) are. In scope: jb, jz (jb again, which no compiler knows), q,
   * at0, `time0`, class_0, pf_column.
   */
  evaluate(withTangents: boolean): string {
    return this.#emitter(withTangents ? this.#tangents : undefined).text();
  }
}
