import { must } from "../must.ts";
import type { Gradient } from "./derivatives.ts";
import { place } from "./places.ts";
import { argumentsOf, type Program, type RowFunction, reached, type Value } from "./program.ts";
import {
  type Arrange,
  areTwins,
  baseOf,
  type Cluster,
  type Schedule,
  type ScheduleOptions,
  type Stage,
} from "./stages.ts";

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
    return place({
      program: this.#p,
      options: this.#o,
      stages: this.#stages,
      late,
      needed: this.#needed,
      asked: this.#asked,
      made: this.#made,
      stored: this.#stored,
      isLate: this.#isLate,
    });
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

  /** What tells the buffers that a kernel has for a value that it reads. */
  #buffersOf(value: Value): (Value | string)[] {
    const base = baseOf(this.#p, value);
    const step = this.#p.at(base);
    if (step.kind === "parameter") return ["parameters"];
    if (step.kind !== "input") return [base];
    const { buffer } = must(this.#o.inputs.get(step.name), `the buffer of the input "${step.name}"`);
    const beside = this.#o.beside?.get(buffer);
    return beside === undefined ? [base] : [base, beside];
  }

  #isThere(value: Value): boolean {
    const base = baseOf(this.#p, value);
    const { kind } = this.#p.at(base);
    return kind === "input" || kind === "parameter" || this.#made.has(base);
  }

  #visit(value: Value): void {
    const step = this.#p.at(value);
    switch (step.kind) {
      case "linear":
      case "project": {
        if (this.#made.has(value)) return;
        const first = this.#firstTwin(value);
        if (first !== undefined) {
          this.#visit(first);
          if (this.#made.has(value)) return;
        }
        this.#demand(step.of);
        const twin = this.#twin(value);
        if (twin !== undefined) this.#demand(this.#p.stepOf(twin, "linear").of);
        this.#product(step.kind, value);
        if (twin !== undefined && !this.#made.has(twin)) this.#product("linear", twin, true);
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

  /** The product of the value with the same weights as that of tangents, which in a reverse is written behind it. */
  #firstTwin(tangents: Value): Value | undefined {
    if (!this.#o.joins || !this.#p.at(tangents).batched) return undefined;
    const first = [...this.#needed].find((other) => areTwins(this.#p, other, tangents));
    if (first === undefined || this.#made.has(first) || this.#isLate[first] !== this.#isLate[tangents])
      return undefined;
    const behind = reached(this.#p, (step) => step === this.#p.at(tangents));
    return behind[this.#p.stepOf(first, "linear").of] ? undefined : first;
  }

  /** With `joins` it is the second of two: what is made of sums over its tangents and of the first one's rows goes along. */
  #product(kind: "linear" | "project", value: Value, joins = false): void {
    // gradients come before the next product, so that nothing is held for them longer than it must be
    const isThere = (of: Value | undefined) => of === undefined || this.#isThere(of);
    if (this.#o.joins && !joins && this.#isLate[value])
      this.#sumGradients(({ cotangent, matrix }) => isThere(cotangent) && isThere(matrix?.of));
    const fits = (members: readonly Value[]) => this.#buffers(members, value) + 2 <= this.#o.bindings;
    const members = this.#following([value], fits, joins);
    this.#stage({ kind, value, cluster: this.#cluster(members, value) }, [value, ...members]);
  }

  /** Functions of rows that the kernel which makes some values can make behind them, as many as fit. */
  #following(made: readonly Value[], fits: (members: readonly Value[]) => boolean, totals = false): Value[] {
    const first = made[0] as Value;
    const { width, batched } = this.#p.at(first);
    const members: Value[] = [];
    const inside = new Set(made);
    for (let next = first + 1; next < this.#p.steps.length; next++) {
      const step = this.#p.at(next);
      if (!this.#needed.has(next) || this.#made.has(next)) continue;
      if (step.kind !== "map" && !(totals && step.kind === "total")) continue;
      if (step.width !== width || this.#isLate[next] !== this.#isLate[first]) continue;
      if (step.batched !== batched && !totals) continue;
      const given = argumentsOf(step);
      if (!given.some((argument) => inside.has(argument))) continue;
      if (!given.every((argument) => inside.has(argument) || this.#isThere(argument))) continue;
      if (step.kind === "map" && isCheap(step.function) && this.#onlySummed(next)) continue;
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
    const base = baseOf(this.#p, value);
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
}
