import { must } from "../src/must.ts";
import { argumentsOf, type Value } from "../src/network/program.ts";
import { type GradientStage, grouped, type Place, placeOf, type Schedule, type Stage } from "../src/network/stages.ts";
import { type Row, readsOf, rowIndices, type Span, split, TileMemory, up } from "./tile-memory.ts";
import type { Tiling } from "./tiling.ts";

/** Columns of a tile that are counted together, those that a turn of a gradient's loop takes; and rows, which one load brings. */
export const [columnsTogether, rowsTogether] = [4, 4];

/** Rows that are there all the time, and whether these are for each tangent. */
interface FixedRows {
  readonly rows: number;
  readonly batched?: boolean;
}

/** Rows that are counted from `rest` behind a number of fours on, which is an expression of the kernel. */
export interface Fours {
  readonly fours: string;
  readonly rest: number;
}

function indicesBehind({ fours, rest }: Fours, row: Row): string {
  const [turn, own] = split(rest, row, rowsTogether);
  return `[${fours} + ${turn}][${own}]`;
}

/** Rows that a gradient fetches back to the tile, from the scratch or from others of the tile. */
export interface Fetched {
  readonly isKept: boolean;
  readonly start: number;
}

/** In how many parts the inputs of a product are fetched. */
export const fetchedParts = ({ sparesMemory }: Tiling, inputs: number) =>
  sparesMemory && inputs % (2 * rowsTogether) === 0 ? 2 : 1;

/** Whether two gradients are one sum, over values and tangents. */
function sumsTogether(stage: Stage, next: Stage | undefined): next is GradientStage {
  if (stage.kind !== "gradient" || next?.kind !== "gradient") return false;
  const [a, b] = [stage.gradient, next.gradient];
  if (a.batched || !b.batched || a.tensor !== b.tensor || !a.matrix || !b.matrix) return false;
  return a.matrix.from === b.matrix.from && a.matrix.inputs === b.matrix.inputs;
}

/** Stages in their order, those together that are one text. */
export function reverseGroups(made: Schedule): Stage[][] {
  const groups: Stage[][] = [];
  for (const group of grouped(made)) {
    const [stage] = group as [Stage];
    const last = groups.at(-1);
    if (last?.length === 1 && sumsTogether(last[0] as Stage, stage)) last.push(stage);
    else groups.push([...group]);
  }
  return groups;
}

/** When a buffer of the schedule holds a value, by the numbers of stages. */
interface Use {
  readonly name: string;
  readonly rows: number;
  /** The first stage that writes it, before all where it was there, and the last one that reads it. */
  readonly from: number;
  to: number;
  /** Stages that read it row by row behind their sums, while other rows are written already. */
  readonly byRow: Set<number>;
}

/** Rows of the tile's memory that are taken from one stage to another. */
interface Taken extends Use {
  readonly start: number;
}

/**
 * Where the values of a network's forward and reverse lie. What the reverse reads of the forward part is kept in storage, a scratch of
 * each workgroup's own, `pf_kept` [workgroup][row in fours][column][row], so that the memory of the tile holds no more than a layer or two, however
 * many there are; the inputs of a product are fetched back for the gradient of its weights. All are f32. The rows of a column lie
 * together, so that an invocation loads four of them at once, for products and for these gradients alike; columns are counted in
 * fours, since compilers make offsets of what is constant.
 */
export class ReverseMemory extends TileMemory {
  readonly #made: Schedule;
  readonly #tangents: number;
  /** The number of the first stage of each stage's group. */
  readonly #times: ReadonlyMap<Stage, number>;
  /** Rows of a set, of the buffers that are for each tangent. */
  readonly #batched = new Map<string, number>();
  /** What buffers hold one after the other, and its first rows in the tile, where it has some. */
  readonly #held = new Map<
    string,
    { readonly from: number; readonly to: number; readonly start: number | undefined }[]
  >();
  /** First rows in the scratch of what buffers hold at the end of the forward part, and since when. */
  readonly #kept = new Map<string, { readonly start: number; readonly from: number }>();
  /** First rows of what the gradients of stages fetch back. */
  readonly #fetched = new Map<Stage, number>();
  readonly #top: number;
  /** Rows of the buffers that are there all the time, which come first. */
  readonly fixedRows: number;
  /** Rows of the scratch. */
  readonly keptRows: number;
  /** The stage whose text is being written; undefined before there is any, when all that ever is there is taken for it. */
  now: number | undefined;

  /** `fixed`: the buffers that are there all the time, inputs and what comes out. */
  constructor(made: Schedule, tiling: Tiling, tangents: number, fixed: Readonly<Record<string, FixedRows>>) {
    const setsOf = (batched = false) => (batched ? tangents : 1);
    const all = Object.values(fixed);
    const end = all.reduce((sum, { rows, batched }) => sum + setsOf(batched) * up(rows, rowsTogether), 0);
    const given = tangents > 0 ? ({ count: tangents, kind: "given" } as const) : undefined;
    super({ ...made, slots: [] }, tiling, given, { x: 0, u: 0, jv: 0, dx: 0, end, half: 0 });
    this.#made = made;
    this.#tangents = tangents;
    this.fixedRows = end;
    let at = 0;
    for (const [name, { rows, batched }] of Object.entries(fixed)) {
      this.#held.set(name, [{ from: -1, to: made.stages.length, start: at }]);
      if (batched) this.#batched.set(name, up(rows, rowsTogether));
      at += setsOf(batched) * up(rows, rowsTogether);
    }
    for (const { name, rows, batched } of made.slots) {
      this.#held.set(name, []);
      if (batched) this.#batched.set(name, up(rows, rowsTogether));
    }
    let number = 0;
    const times = new Map<Stage, number>();
    for (const group of reverseGroups(made)) {
      for (const stage of group) times.set(stage, number);
      number += group.length;
    }
    this.#times = times;
    const { early, late } = usesOf(made, times);
    let kept = 0;
    for (const { name, rows, from } of late) {
      if (from >= 0) continue;
      const last = must(
        early.findLast((use) => use.name === name),
        `what the forward part leaves in "${name}"`,
      );
      this.#kept.set(name, { start: kept, from: last.from });
      kept += this.#setsOf(name) * up(rows, rowsTogether);
    }
    const fetched = new Map<Use, Stage>();
    for (const group of reverseGroups(made)) {
      const [stage] = group as [Stage];
      if (stage.kind !== "gradient" || !stage.gradient.matrix) continue;
      const { of, inputs } = stage.gradient.matrix;
      if (!this.#kept.has(placeOf(made, of).buffer)) continue;
      const now = must(times.get(stage), "the time of a stage");
      fetched.set(
        { name: "", rows: inputs / fetchedParts(tiling, inputs), from: now, to: now, byRow: new Set() },
        stage,
      );
    }
    const taken: Taken[] = [];
    const uses = [...early, ...late.filter(({ from }) => from >= 0), ...fetched.keys()];
    for (const use of uses.sort((a, b) => a.from - b.from)) {
      const { name, from, to } = use;
      const rows = this.#setsOf(name) * up(use.rows, rowsTogether);
      // what is kept, and not read before the reverse, needs no place in the tile
      const isElsewhere =
        this.#kept.get(name)?.from === from && (from === to || (tiling.sparesMemory && isOwn(made, use)));
      const start = isElsewhere ? undefined : freeStart(made, { ...use, rows }, taken, end);
      if (start !== undefined) taken.push({ ...use, rows, start });
      const stage = fetched.get(use);
      if (stage && start !== undefined) this.#fetched.set(stage, start);
      else this.#heldIn(name).push({ from, to, start });
    }
    this.#top = Math.max(end, ...taken.map(({ start, rows }) => start + rows));
    this.keptRows = kept;
  }

  #setsOf(buffer: string): number {
    return this.#batched.has(buffer) ? this.#tangents : 1;
  }

  /** Rows before those of set s of a buffer, in the tile and in the scratch alike. */
  #before(buffer: string, s: number): number {
    const rows = this.#batched.get(buffer);
    return rows === undefined ? 0 : (s - 1) * rows;
  }

  protected override enter([stage]: readonly Stage[]): void {
    this.now = this.#times.get(stage as Stage);
  }

  override get rows(): number {
    return Math.max(super.rows, this.#top);
  }

  #heldIn(buffer: string) {
    return must(this.#held.get(buffer), `the buffer "${buffer}" of a tile`);
  }

  /** The first row in the tile of what a buffer holds when a stage reads it, or of what the stage writes there. */
  #rowOf(buffer: string, writes: boolean): number | undefined {
    const now = must(this.now, "the stage whose text is being written");
    return this.#heldIn(buffer).findLast(({ from, to }) => (writes ? from <= now : from < now) && now <= to)?.start;
  }

  override spans(values: readonly Value[]): Span[] {
    return values.flatMap((value): Span[] => {
      const place = this.#made.places.get(value);
      if (!place) return [];
      const { width } = this.#made.program.at(value);
      const { now } = this;
      const { buffer } = place;
      const sets = Array.from({ length: this.#setsOf(buffer) }, (_, i) => this.#before(buffer, i + 1) + place.row);
      return this.#heldIn(buffer).flatMap(({ from, to, start }): Span[] => {
        const isThere = now === undefined || (from <= now && now <= to);
        if (start === undefined || !isThere) return [];
        return sets.map((row) => [start + row, start + row + width, false]);
      });
    });
  }

  /** A row of the tile, whatever lies there. */
  override cell(base: number, row: Row): string {
    return `pf_tile[q / ${columnsTogether}u][q % ${columnsTogether}u]${rowIndices(base, row, rowsTogether)}`;
  }

  /** Rows of the tile behind `first` in column c of the k-th ones that are counted together. */
  rowsOf(k: string, c: number, first: Fours, row: Row): string {
    return `pf_tile[${k}][${c}]${indicesBehind(first, row)}`;
  }

  #keptRow({ buffer, row }: Place, s: number): number {
    const { start } = must(this.#kept.get(buffer), `the rows of "${buffer}"`);
    return start + this.#before(buffer, s) + row;
  }

  #keptCell(place: Place, row: Row, s: number): string {
    const [fours, rest] = split(this.#keptRow(place, s), row, rowsTogether);
    return `pf_kept[pf_segment][${fours}][q][${rest}]`;
  }

  override read(place: Place, row: Row, s: number): string {
    const start = this.#rowOf(place.buffer, false);
    if (start === undefined) return this.#keptCell(place, row, s);
    return this.cell(start + this.#before(place.buffer, s) + place.row, row);
  }

  override write(place: Place, row: Row, s: number, value: string): string {
    const start = this.#rowOf(place.buffer, true);
    const before = this.#before(place.buffer, s);
    const kept = this.#kept.get(place.buffer);
    const isKept = kept !== undefined && must(this.now, "the stage whose text is being written") >= kept.from;
    return [
      ...(start === undefined ? [] : [`${this.cell(start + before + place.row, row)} = ${value};`]),
      ...(isKept ? [`${this.#keptCell(place, row, s)} = ${value};`] : []),
    ].join("\n");
  }

  /** Where a gradient finds rows of the tile with the inputs of its product: which are fetched back there, or were there already. */
  inputsOf(stage: Stage, place: Place, s: number): { readonly start: number; readonly fetched?: Fetched } {
    const start = this.#fetched.get(stage);
    if (start === undefined) return { start: this.rowIn(place, s) };
    const isKept = this.#rowOf(place.buffer, false) === undefined;
    return { start, fetched: { isKept, start: isKept ? this.#keptRow(place, s) : this.rowIn(place, s) } };
  }

  /** Statements that bring a row behind `from` to the one behind `to`. */
  fetch(to: Fours, { isKept, ...from }: Fours & { readonly isKept: boolean }, row: Row): string {
    const cell = (first: Fours) =>
      `pf_tile[q / ${columnsTogether}u][q % ${columnsTogether}u]${indicesBehind(first, row)}`;
    const [turn, rest] = split(from.rest, row, rowsTogether);
    return `${cell(to)} = ${isKept ? `pf_kept[pf_segment][${from.fours} + ${turn}][q][${rest}]` : cell(from)};`;
  }

  /** The first row of set s of a place in the tile. */
  rowIn({ buffer, row }: Place, s: number): number {
    return must(this.#rowOf(buffer, false), `rows of the tile for "${buffer}"`) + this.#before(buffer, s) + row;
  }
}

/** What each of the schedule's own buffers holds in the forward part, and in the reverse: one value after the other. */
function usesOf(made: Schedule, times: ReadonlyMap<Stage, number>): Record<"early" | "late", Use[]> {
  const { program, stages, places, late, slots } = made;
  const rowsOf = new Map(slots.map(({ name, rows }) => [name, rows]));
  const uses: Record<"early" | "late", Use[]> = { early: [], late: [] };
  for (const stage of stages) {
    const now = must(times.get(stage), "the time of a stage");
    const own = uses[now < late ? "early" : "late"];
    const begun = (name: string, from: number): Use => {
      const use = {
        name,
        rows: must(rowsOf.get(name), `the rows of "${name}"`),
        from,
        to: from,
        byRow: new Set<number>(),
      };
      own.push(use);
      return use;
    };
    const last = (name: string) => own.findLast((use) => use.name === name);
    const isCluster = "cluster" in stage;
    const makes = new Set<Value>([
      ...(isCluster ? stage.cluster.members : []),
      ...(stage.kind === "linear" || stage.kind === "project" ? [stage.value] : []),
      ...(stage.kind === "sums" ? [...stage.sums, ...stage.inner] : []),
    ]);
    const byRow = isCluster ? stage.cluster.members.flatMap((member) => argumentsOf(program.at(member))) : [];
    for (const value of readsOf(program, stage)) {
      const place = makes.has(value) ? undefined : places.get(value);
      if (!place || !rowsOf.has(place.buffer)) continue;
      const use = last(place.buffer) ?? begun(place.buffer, -1);
      use.to = now;
      if (byRow.includes(value)) use.byRow.add(now);
    }
    const writes = [
      ...(isCluster
        ? stage.cluster.stores.map((value) => ({ ...placeOf(made, value), width: program.width(value) }))
        : []),
      ...(stage.kind === "copy" ? [{ ...stage.to, width: stage.width }] : []),
    ];
    for (const { buffer, width } of writes) {
      if (!rowsOf.has(buffer)) continue;
      // parts of a concatenation come one by one
      const use = width === rowsOf.get(buffer) ? undefined : last(buffer);
      if (use) use.to = Math.max(use.to, now);
      else begun(buffer, now);
    }
  }
  return uses;
}

/** Whether a buffer is only read by the next stage, row by row, where each invocation has the rows that it has written. */
function isOwn({ program, stages, places }: Schedule, { name, from, to, byRow }: Use): boolean {
  const [writer, reader] = [stages[from], stages[to]];
  if (to !== from + 1 || !byRow.has(to) || writer?.kind !== "linear" || reader?.kind !== "linear") return false;
  const { of, width } = program.stepOf(reader.value, "linear");
  return places.get(of)?.buffer !== name && program.width(writer.value) === width;
}

/** The first rows that nobody else has while a buffer is in use. A product may be written where the last one's inputs were. */
function freeStart({ stages }: Schedule, own: Use, taken: readonly Taken[], end: number): number {
  const meets = ({ from, to, byRow }: Use) => {
    if (to < own.from || from > own.to) return false;
    return !(to === own.from && from < to && stages[to]?.kind === "linear" && !byRow.has(to));
  };
  let start = end;
  for (const other of taken.filter(meets).sort((a, b) => a.start - b.start))
    if (other.start < start + own.rows) start = Math.max(start, other.start + other.rows);
  return start;
}
