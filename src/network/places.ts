import { must } from "../must.ts";
import { argumentsOf, type Program, type Value } from "./program.ts";
import {
  type Arrange,
  baseOf,
  joins,
  type Place,
  type Schedule,
  type ScheduleOptions,
  type Stage,
  wholeBuffer,
} from "./stages.ts";

/** What is known of a program once its kernels are in order. */
interface Ordered {
  readonly program: Program;
  readonly options: ScheduleOptions;
  readonly stages: readonly (Stage | Arrange)[];
  /** The first stage that waits for one of the late inputs. */
  readonly late: number;
  /** Values that are computed at all, and of them those that were asked for. */
  readonly needed: ReadonlySet<Value>;
  readonly asked: ReadonlySet<Value>;
  /** The stage that makes a value. */
  readonly made: ReadonlyMap<Value, number>;
  /** Values that some stage stores. */
  readonly stored: ReadonlySet<Value>;
  /** Whether a value waits for a late input. */
  readonly isLate: readonly boolean[];
}

/** A part of a concatenation that is made where it belongs, and one that is copied there; without a value zeros are. */
interface Part {
  readonly concat: Value;
  readonly row: number;
}
interface Copy {
  readonly part: Value | undefined;
  readonly row: number;
  readonly width: number;
}

/** Gives every stored value of a program whose kernels are in order a place; buffers are used again when nobody reads them any more. */
export function place(ordered: Ordered): Schedule {
  const placed = new Placement(ordered).run();
  return ordered.options.together ? together(placed, ordered.options.prefix) : placed;
}

/** The buffers of a schedule as parts of one: first rows that are there once, then those of each tangent. */
function together({ places, stages, slots, ...rest }: Schedule, buffer: string): Schedule {
  const sums = { once: 0, each: 0 };
  const starts = new Map<string, { start: number; batched: boolean }>();
  for (const { name, rows, batched } of slots) {
    const kind = batched ? "each" : "once";
    starts.set(name, { start: sums[kind], batched });
    sums[kind] += rows;
  }
  const at = (place: Place): Place => {
    const slot = starts.get(place.buffer);
    if (!slot) return place;
    const row = slot.start + place.row;
    return slot.batched ? { buffer, row: sums.once + row, rows: sums.each } : { ...place, buffer, row };
  };
  return {
    ...rest,
    places: new Map([...places].map(([value, place]) => [value, at(place)])),
    stages: stages.map((stage) => (stage.kind === "copy" ? { ...stage, to: at(stage.to) } : stage)),
    slots: [
      // a network without hidden layers has no values, and its kernels a binding for them
      { name: buffer, rows: Math.max(1, sums.once), batched: false },
      { name: buffer, rows: sums.each, batched: true },
    ],
  };
}

class Placement {
  readonly #p: Program;
  readonly #o: ScheduleOptions;
  readonly #stages: readonly (Stage | Arrange)[];
  readonly #late: number;
  readonly #needed: ReadonlySet<Value>;
  readonly #asked: ReadonlySet<Value>;
  readonly #made: ReadonlyMap<Value, number>;
  readonly #stored: Set<Value>;
  readonly #isLate: readonly boolean[];
  readonly #places = new Map<Value, Place>();
  readonly #parts = new Map<Value, Part>();
  readonly #copies = new Map<Value, Copy[]>();

  constructor({ program, options, stages, late, needed, asked, made, stored, isLate }: Ordered) {
    this.#p = program;
    this.#o = options;
    this.#stages = stages;
    this.#late = late;
    this.#needed = needed;
    this.#asked = asked;
    this.#made = made;
    this.#stored = new Set(stored);
    this.#isLate = isLate;
  }

  run(): Schedule {
    const { inputs, outputs, prefix } = this.#o;
    const places = this.#places;
    const parts = this.#parts;
    const late = this.#late;
    for (const value of this.#needed) {
      const step = this.#p.at(value);
      if (step.kind !== "input") continue;
      places.set(value, must(inputs.get(step.name), `the buffer of the input "${step.name}"`));
    }
    for (const { value, place, width = 0 } of outputs) {
      const step = this.#p.at(value);
      // the first rows of what a kernel makes come to lie there with the others behind them
      if (step.kind === "slice" && step.start === 0 && this.#p.width(step.of) <= width)
        if (this.#stored.has(step.of) && !places.has(step.of)) places.set(step.of, place);
      const others = outputs.filter((other) => other.place.buffer === place.buffer).map((other) => other.value);
      if (this.#stored.has(value) && !places.has(value) && !this.#isMadeFrom(value, others)) places.set(value, place);
    }
    for (const value of [...this.#needed].sort((a, b) => a - b)) {
      const step = this.#p.at(value);
      if (step.kind === "concat") this.#arrange(value);
    }
    const stages: Stage[] = [];
    const slots: { name: string; rows: number; batched: boolean; freeFrom: number }[] = [];
    const lastUse = this.#lastUses();
    /** The buffer of a value that has none yet. */
    const settle = (value: Value, now: number): Place => {
      const there = places.get(value);
      if (there) return there;
      const step = this.#p.at(value);
      if (step.kind === "slice") {
        const of = settle(step.of, now);
        const place = { ...of, row: of.row + step.start };
        places.set(value, place);
        return place;
      }
      const part = parts.get(value);
      if (part) {
        const whole = settle(part.concat, now);
        const place = { ...whole, row: whole.row + part.row };
        places.set(value, place);
        return place;
      }
      const { width, batched } = step;
      const stage = this.#stages[now];
      const inPlace = this.#o.inPlace === true && (stage?.kind === "linear" || stage?.kind === "rows") ? 1 : 0;
      let slot = slots.find(
        (slot) => slot.freeFrom <= now + inPlace && slot.rows === width && slot.batched === batched,
      );
      if (!slot) {
        slot = { name: `${prefix}${slots.length}`, rows: width, batched, freeFrom: 0 };
        slots.push(slot);
      }
      slot.freeFrom = this.#o.together ? Number.POSITIVE_INFINITY : (lastUse.get(value) ?? now) + 1;
      const place = wholeBuffer(slot.name, width);
      places.set(value, place);
      return place;
    };
    let lateStage = 0;
    const copy = (concat: Value, now: number) => {
      for (const { part, row, width } of must(this.#copies.get(concat), "the copies of a concatenation")) {
        if (part !== undefined) settle(part, now);
        const whole = settle(concat, now);
        const { batched } = this.#p.at(concat);
        stages.push({ kind: "copy", from: part, width, to: { ...whole, row: whole.row + row }, batched });
      }
    };
    /** Outputs that lie elsewhere are copied as soon as all of their kind are there. */
    const copyOutputs = (phase: boolean) => {
      for (const { value, place } of outputs) {
        if (this.#isLate[value] !== phase) continue;
        const there = settle(value, Number.POSITIVE_INFINITY);
        if (there.buffer === place.buffer && there.row === place.row) continue;
        const { width, batched } = this.#p.at(value);
        stages.push({ kind: "copy", from: value, width, to: place, batched });
      }
    };
    for (const [now, stage] of this.#stages.entries()) {
      if (now === late) {
        copyOutputs(false);
        lateStage = stages.length;
      }
      if (stage.kind === "arrange") {
        copy(stage.value, now);
        continue;
      }
      if (!("cluster" in stage)) {
        stages.push(stage);
        continue;
      }
      // what nobody reads any more, or only the second of two joined products, is not stored
      const until = this.#o.joins && joins(this.#p, stage, this.#stages[now + 1]) ? now + 1 : now;
      const stores = stage.cluster.stores.filter(
        (value) => this.#asked.has(value) || must(lastUse.get(this.#owner(value)), "a last use") > until,
      );
      for (const value of stage.cluster.stores) if (!stores.includes(value)) this.#stored.delete(value);
      for (const value of stores) settle(value, now);
      stages.push({ ...stage, cluster: { ...stage.cluster, stores } });
    }
    if (late >= this.#stages.length) {
      copyOutputs(false);
      lateStage = stages.length;
    }
    copyOutputs(true);
    for (const value of this.#needed)
      if (this.#p.at(value).kind === "slice" || this.#stored.has(value)) settle(value, Number.POSITIVE_INFINITY);
    return {
      program: this.#p,
      stages,
      places,
      slots: slots.map(({ name, rows, batched }) => ({ name, rows, batched })),
      late: lateStage,
    };
  }

  /** Whether the product that makes a value reads one of `others`: a kernel cannot read a buffer as input that it writes. */
  #isMadeFrom(value: Value, others: readonly Value[]): boolean {
    const made = this.#made.get(value);
    const stage = made === undefined ? undefined : this.#stages[made];
    if (stage?.kind !== "linear" && stage?.kind !== "project") return false;
    const bases = others.map((other) => baseOf(this.#p, other));
    return argumentsOf(this.#p.at(stage.value)).some((argument) => bases.includes(baseOf(this.#p, argument)));
  }

  /** Whether a product reads a value out of the buffer of `owner` and stores another one there. */
  #readsItself(owner: Value): boolean {
    const buffer = this.#bufferOf(owner);
    return [...this.#stored].some((value) => {
      if (this.#bufferOf(value) !== buffer) return false;
      const made = this.#made.get(value);
      const stage = made === undefined ? undefined : this.#stages[made];
      if (stage?.kind !== "linear" && stage?.kind !== "project") return false;
      return argumentsOf(this.#p.at(stage.value)).some((argument) => this.#bufferOf(argument) === buffer);
    });
  }

  /** Lays the parts of a concatenation into its buffer, where nothing else says where they are; the others are copied. */
  #arrange(concat: Value): void {
    const places = this.#places;
    const parts = this.#parts;
    const copies = this.#copies;
    const step = this.#p.at(concat);
    if (step.kind !== "concat") return;
    copies.set(concat, []);
    const placed = step.parts.map((part) => (typeof part === "number" ? places.get(part) : undefined));
    const [first] = placed;
    // inputs that lie one behind the other are a view
    let row = first?.row ?? 0;
    const isView = step.parts.every((part, i) => {
      const place = placed[i];
      const fits = typeof part === "number" && place && place.buffer === first?.buffer && place.row === row;
      row += typeof part === "number" ? this.#p.width(part) : part.zeros;
      return fits;
    });
    if (isView && first && !places.has(concat)) {
      places.set(concat, first);
      return;
    }
    const moved: Copy[] = [];
    let start = 0;
    const own = new Set<Value>();
    for (const part of step.parts) {
      if (typeof part !== "number") {
        moved.push({ part: undefined, row: start, width: part.zeros });
        start += part.zeros;
        continue;
      }
      const { kind, width, batched } = this.#p.at(part);
      const free =
        kind !== "slice" &&
        kind !== "input" &&
        kind !== "parameter" &&
        !places.has(part) &&
        !parts.has(part) &&
        !own.has(part);
      const fits = free && batched === step.batched;
      if (fits) parts.set(part, { concat, row: start });
      if (!fits || this.#readsItself(this.#owner(concat))) {
        if (fits) parts.delete(part);
        moved.push({ part, row: start, width });
      }
      own.add(part);
      start += width;
    }
    copies.set(concat, moved);
  }

  /** The value in whose buffer a value lies. */
  #owner(value: Value): Value {
    const base = baseOf(this.#p, value);
    const part = this.#parts.get(base);
    return part ? this.#owner(part.concat) : base;
  }

  /** What tells the buffer of a value from others: its name, where it has one already, as outputs may share one. */
  #bufferOf(value: Value): Value | string {
    const owner = this.#owner(value);
    return this.#places.get(owner)?.buffer ?? owner;
  }

  /** The last stage that reads the buffer of each value. */
  #lastUses(): Map<Value, number> {
    const last = new Map<Value, number>();
    const use = (value: Value, now: number) => {
      const own = this.#owner(value);
      // what nobody makes was there before
      const made = this.#made.get(own);
      const isKept = now >= this.#late && (made === undefined || made < this.#late);
      const before = last.get(own);
      last.set(own, isKept ? Number.POSITIVE_INFINITY : before === undefined ? now : Math.max(before, now));
    };
    for (const [now, stage] of this.#stages.entries()) {
      const reads: Value[] = [];
      if (stage.kind === "arrange") reads.push(stage.value, ...argumentsOf(this.#p.at(stage.value)));
      if (stage.kind === "gradient") {
        reads.push(stage.gradient.cotangent);
        if (stage.gradient.matrix) reads.push(stage.gradient.matrix.of);
      }
      if (stage.kind === "linear" || stage.kind === "project")
        reads.push(...argumentsOf(this.#p.at(stage.value)), stage.value);
      if (stage.kind === "sums")
        for (const value of [...stage.sums, ...stage.inner]) reads.push(value, ...argumentsOf(this.#p.at(value)));
      if ("cluster" in stage)
        for (const value of stage.cluster.members) reads.push(value, ...argumentsOf(this.#p.at(value)));
      const until = stage.kind === "gradient" && this.#o.keeps ? Number.POSITIVE_INFINITY : now;
      for (const value of reads) use(value, until);
    }
    for (const { value } of this.#o.outputs) use(value, Number.POSITIVE_INFINITY);
    return last;
  }
}
