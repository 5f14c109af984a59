import { must } from "../src/must.ts";
import { tangentOfX } from "../src/network/derivatives.ts";
import { argumentsOf, type Program, type Value } from "../src/network/program.ts";
import { grouped, type Place, type Schedule, type Stage } from "../src/network/stages.ts";
import { matrixSize, particleStride } from "./tile-matrices.ts";
import { activationType, type Tiling, tileSizes, vectorType } from "./tiling.ts";
import { range } from "./wgsl.ts";

/** Which tangents go through the network beside the value: the unit vectors, or what lies in the tile's rows for them. */
export interface TileTangents {
  readonly count: number;
  readonly kind: "basis" | "given";
}

/** The next multiple. */
export const up = (value: number, multiple: number) => multiple * Math.ceil(value / multiple);

/** Row `of · by + plus` of a value, where `of` is a variable of the kernel; without `of` row `plus`. */
export interface Row {
  readonly of: string | undefined;
  readonly by: number;
  readonly plus: number;
}

export const fixed = (plus: number): Row => ({ of: undefined, by: 0, plus });
export const moving = (of: string, by = 1, plus = 0): Row => ({ of, by, plus });

export function rowText({ of, by, plus }: Row): string {
  if (of === undefined) return `${plus}u`;
  const scaled = by === 1 ? of : `${of} * ${by}u`;
  return plus === 0 ? scaled : `${scaled} + ${plus}u`;
}

/** Rows of the tile's memory: the state that the network is evaluated at, what comes out, and everything between. */
export interface Regions {
  readonly x: number;
  readonly u: number;
  readonly jv: number;
  readonly dx: number;
  readonly end: number;
  /** Rows in f16 of a particle, in all evaluations of a kernel. */
  readonly half: number;
}

/** The remainder by a number: of a power of two as bits, whose bounds compilers know. */
export const remainder = (text: string, by: number) =>
  Number.isInteger(Math.log2(by)) ? `(${text} & ${by - 1}u)` : `${text} % ${by}u`;

/** Row `base + row` as a number of turns and what is left of it. */
export function split(base: number, { of, by, plus }: Row, unroll: number): [turn: string, rest: string] {
  const start = base + plus;
  if (of === undefined) return [`${Math.floor(start / unroll)}u`, `${start % unroll}u`];
  if (by % unroll === 0) {
    const turns = by === unroll ? of : `${of} * ${by / unroll}u`;
    const first = Math.floor(start / unroll);
    return [`${turns}${first === 0 ? "" : ` + ${first}u`}`, `${start % unroll}u`];
  }
  const row = rowText({ of, by, plus: start });
  return unroll === 1 ? [row, "0u"] : [`(${row}) / ${unroll}u`, remainder(`(${row})`, unroll)];
}

/** The indices of a row of the tile. */
export function rowIndices(base: number, row: Row, unroll: number): string {
  const [turn, rest] = split(base, row, unroll);
  return `[${turn}][${rest}]`;
}

/** A number of the tile. */
export function cellText(base: number, row: Row, unroll: number): string {
  return `pf_tile${rowIndices(base, row, unroll)}[q]`;
}

/** Rows in f16 of a column that lie together, so that an invocation loads them at once. */
export const halfRowsTogether = 4;

/** Rows of the tile that a stage reads from other invocations, or writes, of those in f32 or in f16. */
export type Span = readonly [from: number, to: number, half: boolean];

export const overlap = (some: readonly Span[], others: readonly Span[]) =>
  some.some(([from, to, half]) => others.some(([start, end, is]) => is === half && from < end && start < to));

/** The values that a stage reads. */
export function readsOf(p: Program, stage: Stage): Value[] {
  const members = "cluster" in stage ? stage.cluster.members : [];
  const own = members.flatMap((member) => argumentsOf(p.at(member)));
  switch (stage.kind) {
    case "linear":
    case "project":
      return [...own, ...argumentsOf(p.at(stage.value))];
    case "sums":
      return [...own, ...[...stage.sums, ...stage.inner].flatMap((value) => argumentsOf(p.at(value)))];
    case "copy":
      return stage.from === undefined ? [] : [stage.from];
    case "gradient": {
      const { cotangent, matrix } = stage.gradient;
      return [cotangent, ...(matrix ? [matrix.of] : [])];
    }
    default:
      return own;
  }
}

/** Where the values of a network's schedule lie in the rows of a tile's memory, and the blocks' parts of its sums. */
export class TileMemory {
  readonly #made: Schedule;
  readonly #p: Program;
  readonly #tangents: TileTangents | undefined;
  readonly #regions: Regions;
  readonly #unroll: number;
  readonly #tiling: Tiling;
  /** First row of each buffer's set 0, rows of a set. */
  readonly #places = new Map<string, { at: number; stride: number }>();
  /** Where the blocks' parts of a stage's sums lie. */
  readonly #parts = new Map<Stage, number>();
  /** Blocks that have one. */
  #partsEach = 0;
  #rows: number;
  readonly #halfRows: number;

  constructor(made: Schedule, tiling: Tiling, tangents: TileTangents | undefined, regions: Regions) {
    this.#made = made;
    this.#p = made.program;
    this.#tangents = tangents;
    this.#regions = regions;
    const { rowUnroll } = tileSizes(tiling);
    this.#unroll = rowUnroll;
    this.#tiling = tiling;
    const dim = regions.u - regions.x;
    this.#places.set("x", { at: regions.x, stride: 0 });
    this.#places.set("u", { at: regions.u, stride: 0 });
    // sets of tangents count from 1
    this.#places.set("jv", { at: regions.jv - dim, stride: dim });
    this.#places.set("dx", { at: regions.dx - dim, stride: dim });
    // activations in f16 have rows of their own
    let at = tiling.half ? 0 : regions.end;
    for (const { name, rows, batched } of made.slots) {
      const stride = up(rows, tiling.matrices ? matrixSize : tiling.half ? halfRowsTogether : rowUnroll);
      this.#places.set(name, { at: batched ? at - stride : at, stride: batched ? stride : 0 });
      at += stride * (batched ? (tangents?.count ?? 0) : 1);
    }
    this.#rows = tiling.half ? regions.end : at;
    this.#halfRows = tiling.half ? at : 0;
  }

  /** Rows in f32. */
  get rows(): number {
    return this.#rows;
  }

  /** Rows in f16. */
  get halfRows(): number {
    return this.#halfRows;
  }

  /** Numbers in f16 from one particle to the next, where the subgroups' matrices read them. */
  get particleStride(): number {
    return particleStride(this.#regions.half);
  }

  /** Whether a buffer of the schedule is in f16: what comes in and goes out is not. */
  isHalf(buffer: string): boolean {
    return this.#tiling.half === true && this.#made.slots.some(({ name }) => name === buffer);
  }

  /** Row `row` of set s of a place, as it lies there. */
  placed(place: Place, row: Row, s: number): string {
    const at = this.place(place, s);
    if (!this.isHalf(place.buffer)) return this.cell(at, row);
    if (this.#tiling.matrices)
      return `pf_half[q * ${this.particleStride}u + ${rowText({ ...row, plus: at + row.plus })}]`;
    const [turn, rest] = split(at, row, halfRowsTogether);
    return `pf_half[${turn}][q][${rest}]`;
  }

  /** The same in f32. */
  read(place: Place, row: Row, s: number): string {
    const cell = this.placed(place, row, s);
    return this.isHalf(place.buffer) ? `${vectorType(this.#tiling)}(${cell})` : cell;
  }

  /** A statement that keeps a number in f32 there. */
  write(place: Place, row: Row, s: number, value: string): string {
    const kept = this.isHalf(place.buffer) ? `${activationType(this.#tiling)}(${value})` : value;
    return `${this.placed(place, row, s)} = ${kept};`;
  }

  /** Finds rows for the parts that so many blocks have of the sums of stages; `partialSums`: how many a stage has. */
  placeParts(partialSums: (group: readonly Stage[]) => number, blocks: number): void {
    this.#partsEach = blocks;
    const groups = grouped(this.#made);
    for (const [i, group] of groups.entries()) {
      const sums = partialSums(group);
      if (sums === 0) continue;
      this.enter(group);
      const start = this.#freeRows(sums * blocks, group, groups.slice(i + 1));
      this.#parts.set(group[0] as Stage, start);
      this.#rows = Math.max(this.#rows, start + sums * blocks);
    }
  }

  /** Said before rows are sought for some stages, of memory where values come and go. */
  protected enter(_group: readonly Stage[]): void {}

  /** The first of so many rows behind the state that are in nobody's use once a stage has read what it sums. */
  #freeRows(count: number, group: readonly Stage[], later: readonly (readonly Stage[])[]): number {
    const rowwise = group.flatMap((stage) => ("cluster" in stage ? stage.cluster.members : []));
    const values = [
      ...rowwise.flatMap((member) => argumentsOf(this.#p.at(member))),
      ...group.flatMap((stage) => ("cluster" in stage ? stage.cluster.stores : [])),
      ...later.flat().flatMap((stage) => readsOf(this.#p, stage)),
    ];
    const inUse = this.spans(values).filter(([, , half]) => !half);
    const starts = [this.#regions.end, ...inUse.map(([, to]) => up(to, this.#unroll))].sort((a, b) => a - b);
    const free = starts.find((start) => start >= this.#regions.end && !overlap([[start, start + count, false]], inUse));
    return must(free, "rows behind all others");
  }

  /** The sets that a value has: 0, or one for each tangent. */
  sets(batched: boolean): number[] {
    return batched ? range(this.#tangents?.count ?? 0).map((s) => s + 1) : [0];
  }

  place({ buffer, row }: Place, s: number): number {
    const place = this.#places.get(buffer);
    if (!place) throw new Error(`the tile has no buffer "${buffer}"`);
    return place.at + s * place.stride + row;
  }

  #span(value: Value, s: number): Span[] {
    const step = this.#p.at(value);
    if (step.kind === "parameter") return [];
    // what is made where it is read has no place
    const place = this.#made.places.get(value);
    if (!place || !this.#places.has(place.buffer) || this.isUnit(value)) return [];
    const from = this.place(place, step.batched ? s : 0);
    return [[from, from + step.width, this.isHalf(place.buffer)]];
  }

  spans(values: readonly Value[]): Span[] {
    return values.flatMap((value) => this.sets(this.#p.at(value).batched).flatMap((s) => this.#span(value, s)));
  }

  /** Whether a value's tangents are the unit vectors, which are not stored. */
  isUnit(value: Value): boolean {
    const step = this.#p.at(value);
    return this.#tangents?.kind === "basis" && step.kind === "input" && step.name === tangentOfX;
  }

  part(stage: Stage, sum: number, block: Row): string {
    return this.cell(must(this.#parts.get(stage), "the rows of a stage's parts") + sum * this.#partsEach, block);
  }

  /** A number of the tile's rows from `base` on. */
  protected cell(base: number, row: Row): string {
    return cellText(base, row, this.#unroll);
  }
}
