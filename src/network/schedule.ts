import { item, must } from "../must.ts";
import type { Gradient } from "./derivatives.ts";
import { argumentsOf, type Program, type RowFunction, reached, type Value } from "./program.ts";

/** Where a value lies: from row `row` of a buffer that has `rows` rows (for each tangent, where there are any). */
export interface Place {
  readonly buffer: string;
  readonly row: number;
  readonly rows: number;
}

/** A buffer of so many rows, as a place. */
export const wholeBuffer = (buffer: string, rows: number): Place => ({ buffer, row: 0, rows });

/** Rows that one kernel computes from numbers in the same row: its members in order, and those of them that are stored. */
export interface Cluster {
  readonly members: readonly Value[];
  readonly stores: readonly Value[];
}

/** What one kernel does. */
export type Stage =
  /** A product with a weight matrix, or with one of the network's data, and what is made of each of its rows. */
  | { readonly kind: "linear" | "project"; readonly value: Value; readonly cluster: Cluster }
  | { readonly kind: "rows"; readonly width: number; readonly cluster: Cluster }
  /** Sums over all rows of values that are made from row to row by `inner`, and what is made of the sums. */
  | {
      readonly kind: "sums";
      readonly sums: readonly Value[];
      readonly inner: readonly Value[];
      readonly cluster: Cluster;
    }
  /** A part of a concatenation that was made elsewhere; zeros where there is no value. */
  | {
      readonly kind: "copy";
      readonly from: Value | undefined;
      readonly width: number;
      readonly to: Place;
      readonly batched: boolean;
    }
  | { readonly kind: "gradient"; readonly gradient: Gradient };

/** Where a concatenation is whole: what its parts were not made in is copied. */
interface Arrange {
  readonly kind: "arrange";
  readonly value: Value;
}

/** The kernels of a program in their order, and where its values lie. */
export interface Schedule {
  readonly program: Program;
  readonly stages: readonly Stage[];
  readonly places: ReadonlyMap<Value, Place>;
  /** Buffers beside those that were named, with their rows and whether these are for each tangent. */
  readonly slots: readonly { readonly name: string; readonly rows: number; readonly batched: boolean }[];
  /** The first stage that waits for one of the late inputs. */
  readonly late: number;
}

/** Where a value that is stored lies. */
export function placeOf({ places }: Schedule, value: Value): Place {
  return must(places.get(value), `the place of value ${value}`);
}

export interface ScheduleOptions {
  /** Where the inputs lie, and where the outputs shall. */
  readonly inputs: ReadonlyMap<string, Place>;
  readonly outputs: readonly { readonly value: Value; readonly place: Place }[];
  readonly gradients?: readonly Gradient[];
  /** Inputs that are written between the stages: those that do not need them come first, and what they made stays for all rounds. */
  readonly lateInputs?: readonly string[];
  /** Storage buffers of one kernel at most. */
  readonly bindings: number;
  /** Buffers that a kernel reads beside another one, by the name of that one. */
  readonly beside?: ReadonlyMap<string, string>;
  /** Begins the names of the buffers. */
  readonly prefix: string;
  /** Whether a product, or functions of rows, may write where they read: their kernels wait for all reads before they write. */
  readonly inPlace?: boolean;
  /** Whether a product and that of its tangents are one, which hands values from the first one's rows to the second one's: {@link joins}. */
  readonly joins?: boolean;
}

/** Whether two stages are a product and that of its tangents, with the same weights, so that each weight can be read once for both. */
function joins(p: Program, stage: Stage | Arrange | undefined, next: Stage | Arrange | undefined): boolean {
  if (stage?.kind !== "linear" || next?.kind !== "linear" || !areTwins(p, stage.value, next.value)) return false;
  // what the second product reads is there already
  const { of } = p.stepOf(next.value, "linear");
  return of !== stage.value && !stage.cluster.members.includes(of);
}

/** Stages in their order, those together that join. */
export function grouped({ program, stages }: Schedule): Stage[][] {
  const groups: Stage[][] = [];
  for (let i = 0; i < stages.length; i++) {
    const [stage, next] = [item(stages, i), stages[i + 1]];
    const isJoined = next !== undefined && joins(program, stage, next);
    groups.push(isJoined ? [stage, next] : [stage]);
    if (isJoined) i++;
  }
  return groups;
}

function areTwins(p: Program, value: Value, tangents: Value): boolean {
  const [a, b] = [p.at(value), p.at(tangents)];
  if (a.kind !== "linear" || b.kind !== "linear" || a.batched || !b.batched) return false;
  return a.tensor === b.tensor && a.transposed === b.transposed && a.from === b.from && a.to === b.to;
}

/** Cheap enough to be made again wherever it is read. */
const isCheap = ({ name }: RowFunction) =>
  name !== "activate" && name !== "sine of turns" && name !== "cosine of turns";

/** Orders a program into kernels: products take along what is made of their rows, the rest is gathered into as few as may be. */
export function schedule(p: Program, o: ScheduleOptions): Schedule {
  return new Scheduler(p, o).run();
}

class Scheduler {
  readonly #p: Program;
  readonly #o: ScheduleOptions;
  readonly #needed = new Set<Value>();
  readonly #users = new Map<Value, Value[]>();
  readonly #asked = new Set<Value>();
  readonly #stages: (Stage | Arrange)[] = [];
  /** The stage that makes a value. */
  readonly #made = new Map<Value, number>();
  readonly #stored = new Set<Value>();
  /** Whether a value waits for a late input. */
  readonly #isLate: readonly boolean[];
  /** Sums over values come before those over tangents, so that the first one begins the gradient of the whole parameter. */
  readonly #gradients: readonly Gradient[];
  /** Gradients whose cotangents are there, and those of them that have their stage. */
  readonly #ready = new Set<Gradient>();
  readonly #summed = new Set<Gradient>();

  constructor(p: Program, o: ScheduleOptions) {
    this.#p = p;
    this.#o = o;
    this.#isLate = reached(p, (step) => step.kind === "input" && (o.lateInputs ?? []).includes(step.name));
    this.#gradients = [...(o.gradients ?? [])].sort((a, b) => Number(a.batched) - Number(b.batched));
  }

  run(): Schedule {
    for (const { value } of this.#o.outputs) this.#ask(value);
    for (const { cotangent, matrix } of this.#gradients) {
      this.#ask(cotangent);
      if (matrix) this.#ask(matrix.of);
    }
    const order = [...this.#needed].sort((a, b) => a - b);
    let late = 0;
    for (const phase of [false, true]) {
      if (phase) late = this.#stages.length;
      const own = order.filter((value) => this.#isLate[value] === phase);
      for (const value of own) {
        this.#visit(value);
        if (phase) this.#sumGradients(({ cotangent, matrix }) => Math.max(cotangent, matrix?.of ?? 0) === value);
      }
      // what is asked for and is not there yet
      for (const value of own) if (this.#asked.has(value)) this.#demand(value);
    }
    this.#sumGradients(() => true);
    return this.#place(late);
  }

  /** Sums the gradients whose cotangents are there now, and those that waited for another one of their parameter. */
  #sumGradients(isThere: (gradient: Gradient) => boolean): void {
    for (const gradient of this.#gradients) if (isThere(gradient)) this.#ready.add(gradient);
    for (const gradient of this.#gradients) {
      const { tensor, batched, cotangent, matrix } = gradient;
      if (!this.#ready.has(gradient) || this.#summed.has(gradient)) continue;
      const waits = (other: Gradient) => other.tensor === tensor && !other.batched && !this.#summed.has(other);
      if (batched && this.#gradients.some(waits)) continue;
      this.#summed.add(gradient);
      this.#demand(cotangent);
      if (matrix) this.#demand(matrix.of);
      this.#stages.push({ kind: "gradient", gradient });
    }
  }

  #ask(value: Value): void {
    this.#asked.add(value);
    this.#need(value);
  }

  #need(value: Value): void {
    if (this.#needed.has(value)) return;
    this.#needed.add(value);
    this.#users.set(value, []);
    for (const argument of argumentsOf(this.#p.at(value))) {
      this.#need(argument);
      this.#usersOf(argument).push(value);
    }
  }

  #usersOf(value: Value): Value[] {
    return must(this.#users.get(value), `the users of value ${value}`);
  }

  /** The value whose buffer a value is a view into. */
  #base(value: Value): Value {
    const step = this.#p.at(value);
    return step.kind === "slice" ? this.#base(step.of) : value;
  }

  /** What tells the buffers that a kernel has for a value that it reads. */
  #buffersOf(value: Value): (Value | string)[] {
    const base = this.#base(value);
    const step = this.#p.at(base);
    if (step.kind === "parameter") return ["parameters"];
    if (step.kind !== "input") return [base];
    const { buffer } = must(this.#o.inputs.get(step.name), `the buffer of the input "${step.name}"`);
    const beside = this.#o.beside?.get(buffer);
    return beside === undefined ? [base] : [base, beside];
  }

  #isThere(value: Value): boolean {
    const base = this.#base(value);
    const { kind } = this.#p.at(base);
    return kind === "input" || kind === "parameter" || this.#made.has(base);
  }

  #visit(value: Value): void {
    const step = this.#p.at(value);
    switch (step.kind) {
      case "linear":
      case "project": {
        if (this.#made.has(value)) return;
        this.#demand(step.of);
        const twin = this.#twin(value);
        if (twin !== undefined) this.#demand(this.#p.stepOf(twin, "linear").of);
        this.#product(step.kind, value);
        if (twin !== undefined) this.#visit(twin);
        return;
      }
      case "sum":
        this.#sum(value);
        return;
      case "concat":
        for (const part of step.parts) if (typeof part === "number") this.#demand(part);
        this.#stage({ kind: "arrange", value }, [value]);
        this.#stored.add(value);
        return;
      default:
        // rows are made when somebody asks for them
        return;
    }
  }

  /** The product of the tangents with the same weights, if it can be made beside that of the value. */
  #twin(value: Value): Value | undefined {
    if (!this.#o.joins) return undefined;
    const twin = [...this.#needed].find((other) => areTwins(this.#p, value, other));
    if (twin === undefined || this.#made.has(twin) || this.#isLate[twin] !== this.#isLate[value]) return undefined;
    const behind = reached(this.#p, (step) => step === this.#p.at(value));
    return behind[this.#p.stepOf(twin, "linear").of] ? undefined : twin;
  }

  #product(kind: "linear" | "project", value: Value): void {
    const fits = (members: readonly Value[]) => this.#buffers(members, value) + 2 <= this.#o.bindings;
    const members = this.#following([value], fits);
    this.#stage({ kind, value, cluster: this.#cluster(members, value) }, [value, ...members]);
  }

  /** Functions of rows that the kernel which makes some values can make behind them, as many as fit. */
  #following(made: readonly Value[], fits: (members: readonly Value[]) => boolean): Value[] {
    const first = made[0] as Value;
    const { width, batched } = this.#p.at(first);
    const members: Value[] = [];
    const inside = new Set(made);
    for (let next = first + 1; next < this.#p.steps.length; next++) {
      const step = this.#p.at(next);
      if (!this.#needed.has(next) || step.kind !== "map" || this.#made.has(next)) continue;
      if (step.width !== width || step.batched !== batched || this.#isLate[next] !== this.#isLate[first]) continue;
      if (!step.of.some((argument) => inside.has(argument))) continue;
      if (!step.of.every((argument) => inside.has(argument) || this.#isThere(argument))) continue;
      if (isCheap(step.function) && this.#onlySummed(next)) continue;
      if (!fits([...members, next])) continue;
      members.push(next);
      inside.add(next);
    }
    return members;
  }

  #onlySummed(value: Value): boolean {
    const users = this.#usersOf(value);
    return !this.#asked.has(value) && users.every((user) => this.#p.at(user).kind === "sum");
  }

  #cluster(members: readonly Value[], ...more: Value[]): Cluster {
    const inside = new Set([...members, ...more]);
    const stores = [...more, ...members].filter(
      (value) => this.#asked.has(value) || this.#usersOf(value).some((user) => !inside.has(user)),
    );
    return { members, stores };
  }

  /** Buffers that a cluster reads and writes at most. */
  #buffers(members: readonly Value[], ...more: Value[]): number {
    const inside = new Set([...members, ...more]);
    const read = new Set<Value | string>();
    for (const member of members)
      for (const argument of argumentsOf(this.#p.at(member)))
        if (!inside.has(argument)) for (const buffer of this.#buffersOf(argument)) read.add(buffer);
    return read.size + this.#cluster(members, ...more).stores.length;
  }

  #stage(stage: Stage | Arrange, makes: readonly Value[]): void {
    const number = this.#stages.push(stage) - 1;
    for (const value of makes) this.#made.set(value, number);
    if ("cluster" in stage) for (const value of stage.cluster.stores) this.#stored.add(value);
  }

  /** Has a value made, unless it is there. */
  #demand(value: Value): void {
    const base = this.#base(value);
    if (this.#isThere(base)) return;
    const { width } = this.#p.at(base);
    const members = new Set<Value>();
    const collect = (next: Value, inLoop: boolean): void => {
      if (members.has(next)) return;
      for (const argument of argumentsOf(this.#p.at(next))) {
        if (this.#isThere(argument)) continue;
        const step = this.#p.at(argument);
        const isRow = step.kind === "map" || step.kind === "total";
        // what is made of a sum over tangents cannot go back into the loop over them
        if (isRow && step.width === width && !(inLoop && this.#hasTotal(argument)))
          collect(argument, inLoop || step.batched);
        else this.#demand(argument);
      }
      members.add(next);
    };
    collect(base, this.#p.at(base).batched);
    if (this.#isThere(base)) return;
    let chosen = [...members].filter((member) => !this.#made.has(member)).sort((a, b) => a - b);
    while (this.#buffers(chosen) > this.#o.bindings && chosen.length > 1) {
      // too much for one kernel: the first half comes before
      this.#demandFirst(chosen);
      chosen = chosen.filter((member) => !this.#made.has(member));
    }
    this.#stage({ kind: "rows", width, cluster: this.#cluster(chosen) }, chosen);
  }

  #demandFirst(chosen: readonly Value[]): void {
    const half = chosen.slice(0, Math.ceil(chosen.length / 2));
    const { width } = this.#p.at(half[0] as Value);
    if (this.#buffers(half) > this.#o.bindings && half.length > 1) {
      this.#demandFirst(half);
      return;
    }
    this.#stage({ kind: "rows", width, cluster: this.#cluster(half) }, half);
  }

  #hasTotal(value: Value): boolean {
    if (this.#isThere(value)) return false;
    const step = this.#p.at(value);
    if (step.kind === "total") return true;
    return step.kind === "map" && step.of.some((argument) => this.#hasTotal(argument));
  }

  #sum(value: Value): void {
    if (this.#made.has(value)) return;
    const { batched } = this.#p.at(value);
    const inner: Value[] = [];
    const sums: Value[] = [];
    const operand = (sum: Value) => this.#p.stepOf(sum, "sum").of;
    /** Buffers of the kernel, if `more` were made in it or summed by it. */
    const buffers = (members: readonly Value[], more: { inner?: Value; sum?: Value } = {}): number => {
      const made = [...inner, ...(more.inner === undefined ? [] : [more.inner])];
      const all = [...sums, ...(more.sum === undefined ? [] : [more.sum])];
      const reads = [...made.flatMap((next) => argumentsOf(this.#p.at(next))), ...all.map(operand)];
      const read = new Set(reads.filter((next) => !made.includes(next)).flatMap((next) => this.#buffersOf(next)));
      return read.size + this.#buffers(members, ...all);
    };
    const gather = (next: Value): void => {
      if (this.#isThere(next) || inner.includes(next)) return;
      const step = this.#p.at(next);
      const isInner = step.kind === "map" && isCheap(step.function) && step.batched === batched;
      if (!isInner || buffers([], { inner: next, sum: value }) > this.#o.bindings) {
        this.#demand(next);
        return;
      }
      for (const argument of step.of) {
        if (this.#p.at(argument).width === 1 || this.#isThere(argument)) this.#demand(argument);
        else gather(argument);
      }
      inner.push(next);
    };
    gather(operand(value));
    if (inner.length > 0 && buffers([], { sum: value }) > this.#o.bindings) {
      // too much for one kernel: what is summed is made before
      inner.length = 0;
      this.#demand(operand(value));
    }
    sums.push(value);
    // other sums over as many rows whose arguments are there by now
    const rows = this.#p.width(operand(value));
    for (const other of this.#needed) {
      const step = this.#p.at(other);
      if (other <= value || step.kind !== "sum" || this.#made.has(other) || step.batched !== batched) continue;
      if (this.#isLate[other] !== this.#isLate[value] || this.#p.width(step.of) !== rows) continue;
      const isRead = this.#isThere(step.of) || inner.includes(step.of);
      if (!isRead || buffers([], { sum: other }) > this.#o.bindings) continue;
      sums.push(other);
    }
    const members = this.#following(sums, (some) => buffers(some) <= this.#o.bindings);
    this.#stage({ kind: "sums", sums, inner, cluster: this.#cluster(members, ...sums) }, [...sums, ...members]);
  }

  /** Gives every stored value a place; buffers are used again when nobody reads them any more. */
  #place(late: number): Schedule {
    const { inputs, outputs, prefix } = this.#o;
    const places = new Map<Value, Place>();
    for (const value of this.#needed) {
      const step = this.#p.at(value);
      if (step.kind !== "input") continue;
      places.set(value, must(inputs.get(step.name), `the buffer of the input "${step.name}"`));
    }
    for (const { value, place } of outputs) {
      const others = outputs.filter((other) => other.place.buffer === place.buffer).map((other) => other.value);
      if (this.#stored.has(value) && !places.has(value) && !this.#isMadeFrom(value, others)) places.set(value, place);
    }
    const parts = new Map<Value, { concat: Value; row: number }>();
    const copies = new Map<Value, { part: Value | undefined; row: number; width: number }[]>();
    for (const value of [...this.#needed].sort((a, b) => a - b)) {
      const step = this.#p.at(value);
      if (step.kind === "concat") this.#arrange(value, places, parts, copies);
    }
    const stages: Stage[] = [];
    const slots: { name: string; rows: number; batched: boolean; freeFrom: number }[] = [];
    const lastUse = this.#lastUses(parts, late);
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
      slot.freeFrom = (lastUse.get(value) ?? now) + 1;
      const place = wholeBuffer(slot.name, width);
      places.set(value, place);
      return place;
    };
    let lateStage = 0;
    const copy = (concat: Value, now: number) => {
      for (const { part, row, width } of must(copies.get(concat), "the copies of a concatenation")) {
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
        (value) => this.#asked.has(value) || must(lastUse.get(this.#owner(value, parts)), "a last use") > until,
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
    const bases = others.map((other) => this.#base(other));
    return argumentsOf(this.#p.at(stage.value)).some((argument) => bases.includes(this.#base(argument)));
  }

  /** Whether a product reads a value out of the buffer of `owner` and stores another one there. */
  #readsItself(owner: Value, parts: ReadonlyMap<Value, { concat: Value; row: number }>): boolean {
    return [...this.#stored].some((value) => {
      if (this.#owner(value, parts) !== owner) return false;
      const made = this.#made.get(value);
      const stage = made === undefined ? undefined : this.#stages[made];
      if (stage?.kind !== "linear" && stage?.kind !== "project") return false;
      return argumentsOf(this.#p.at(stage.value)).some((argument) => this.#owner(argument, parts) === owner);
    });
  }

  /** Lays the parts of a concatenation into its buffer, where nothing else says where they are; the others are copied. */
  #arrange(
    concat: Value,
    places: Map<Value, Place>,
    parts: Map<Value, { concat: Value; row: number }>,
    copies: Map<Value, { part: Value | undefined; row: number; width: number }[]>,
  ): void {
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
    const moved: { part: Value | undefined; row: number; width: number }[] = [];
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
      if (!fits || this.#readsItself(this.#owner(concat, parts), parts)) {
        if (fits) parts.delete(part);
        moved.push({ part, row: start, width });
      }
      own.add(part);
      start += width;
    }
    copies.set(concat, moved);
  }

  /** The value in whose buffer a value lies. */
  #owner(value: Value, parts: ReadonlyMap<Value, { concat: Value; row: number }>): Value {
    const base = this.#base(value);
    const part = parts.get(base);
    return part ? this.#owner(part.concat, parts) : base;
  }

  /** The last stage that reads the buffer of each value. */
  #lastUses(parts: ReadonlyMap<Value, { concat: Value; row: number }>, late: number): Map<Value, number> {
    const last = new Map<Value, number>();
    const use = (value: Value, now: number) => {
      const own = this.#owner(value, parts);
      // what nobody makes was there before
      const made = this.#made.get(own);
      const isKept = now >= late && (made === undefined || made < late);
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
      for (const value of reads) use(value, now);
    }
    for (const { value } of this.#o.outputs) use(value, Number.POSITIVE_INFINITY);
    return last;
  }
}
