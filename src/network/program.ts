/**
 * A function of a particle (or of a batch of tangents beside it) as a list of steps on rows of numbers: what a network, its
 * tangents and its gradients are written in before a kernel is made of them. Every step is linear or acts row by row, so that
 * tangents and adjoints follow from one table of partial derivatives (src/network/derivatives.ts).
 */

/** The number of a step, whose result it stands for. */
export type Value = number;

/** A function of numbers in the same row. Their partial derivatives are in derivatives.ts, their text in shaders/row-functions.ts. */
export type RowFunction =
  | { readonly name: "add" | "subtract" | "multiply" }
  | { readonly name: "scale" | "shift"; readonly by: number }
  /** φ, φ′, φ″ of an activation. */
  | { readonly name: "activate"; readonly activation: string; readonly order: 0 | 1 | 2 }
  | { readonly name: "inverse root" }
  /** sin 2πz, cos 2πz. */
  | { readonly name: "sine of turns" | "cosine of turns" }
  /** One row, repeated. */
  | { readonly name: "repeat"; readonly rows: number };

/** A part of a {@link Step} `concat`: a value, or so many rows of zeros. */
export type Part = Value | { readonly zeros: number };

export type Step =
  /** Rows that are there before the program begins. */
  | { readonly kind: "input"; readonly name: string }
  /** A vector of the network, the same for every particle. */
  | { readonly kind: "parameter"; readonly tensor: string }
  /** W·v, or with `transposed` Wᵀ·v, over the columns `from` … `to` − 1 of W; plus a bias. */
  | {
      readonly kind: "linear";
      readonly of: Value;
      readonly tensor: string;
      readonly transposed: boolean;
      readonly from: number;
      readonly to: number;
      readonly bias?: string | undefined;
    }
  /** B·v for a matrix that is data of the network; with `turns` all but whole numbers, exactly. */
  | {
      readonly kind: "project";
      readonly of: Value;
      readonly matrix: readonly (readonly number[])[];
      readonly turns: boolean;
    }
  /** A function of each row; arguments of one row go to all, and those without tangents to all tangents. */
  | { readonly kind: "map"; readonly function: RowFunction; readonly of: readonly Value[] }
  /** Sum of all rows. */
  | { readonly kind: "sum"; readonly of: Value }
  /** Sum over the tangents. */
  | { readonly kind: "total"; readonly of: Value }
  | { readonly kind: "slice"; readonly of: Value; readonly start: number; readonly end: number }
  | { readonly kind: "concat"; readonly parts: readonly Part[] };

export type StepOf<Kind extends Step["kind"]> = Extract<Step, { readonly kind: Kind }>;

/** A step with the rows of its result, and whether there is one for each tangent. */
export type Result = Step & { readonly width: number; readonly batched: boolean };

/** The values that a step reads. */
export function argumentsOf(step: Step): readonly Value[] {
  switch (step.kind) {
    case "input":
    case "parameter":
      return [];
    case "map":
      return step.of;
    case "concat":
      return step.parts.filter((part) => typeof part === "number");
    default:
      return [step.of];
  }
}

/** Whether each value is a source or behind one. */
export function reached(p: Program, isSource: (step: Result) => boolean): boolean[] {
  const found: boolean[] = [];
  for (const step of p.steps) found.push(isSource(step) || argumentsOf(step).some((argument) => found[argument]));
  return found;
}

/** Writes a program, step by step; a step that is there already is not written twice. */
export class Program {
  readonly steps: Result[] = [];
  readonly #known = new Map<string, Value>();

  /** The same program, to be gone on with. */
  copy(): Program {
    const made = new Program();
    for (const { width, batched, ...step } of this.steps) made.#write(step as Step, width, batched);
    return made;
  }

  at(value: Value): Result {
    const step = this.steps[value];
    if (!step) throw new Error(`the program has no step ${value}`);
    return step;
  }

  /** The step of a value, which is of that kind. */
  stepOf<Kind extends Step["kind"]>(value: Value, kind: Kind): Extract<Result, { readonly kind: Kind }> {
    const step = this.at(value);
    if (step.kind !== kind) throw new Error(`step ${value} is a ${step.kind}, not a ${kind}`);
    return step as Extract<Result, { readonly kind: Kind }>;
  }

  /** Of all products with weights. */
  get multiplyAdds(): number {
    return this.steps.reduce((sum, step) => sum + (step.kind === "linear" ? step.width * (step.to - step.from) : 0), 0);
  }

  width(value: Value): number {
    return this.at(value).width;
  }

  #write(step: Step, width: number, batched: boolean): Value {
    const key = JSON.stringify(step);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, this.steps.length);
    return this.steps.push({ ...step, width, batched }) - 1;
  }

  input(name: string, width: number, batched = false): Value {
    return this.#write({ kind: "input", name }, width, batched);
  }

  parameter(tensor: string, width: number): Value {
    return this.#write({ kind: "parameter", tensor }, width, false);
  }

  /** W·v + b for the columns of W from `first` on. */
  linear(of: Value, matrix: { tensor: string; outputs: number }, bias?: string, first = 0): Value {
    const step = this.at(of);
    const { tensor, outputs } = matrix;
    let [source, from, to] = [of, first, first + step.width];
    if (step.kind === "concat") {
      // rows of zeros at either end need no multiplication
      const filled = step.parts.filter((part) => typeof part === "number");
      const [only] = filled;
      if (filled.length === 1 && only !== undefined) {
        from = first + rowsOf(this, step.parts.slice(0, step.parts.indexOf(only)));
        to = from + this.width(only);
        source = only;
      }
    }
    return this.#write(
      { kind: "linear", of: source, tensor, transposed: false, from, to, ...(bias !== undefined && { bias }) },
      outputs,
      step.batched,
    );
  }

  /** Columns `from` … `to` − 1 of W, transposed, times `of`. */
  transposed(of: Value, tensor: string, from: number, to: number): Value {
    return this.#write({ kind: "linear", of, tensor, transposed: true, from, to }, to - from, this.at(of).batched);
  }

  project(of: Value, matrix: readonly (readonly number[])[], turns: boolean): Value {
    return this.#write({ kind: "project", of, matrix, turns }, matrix.length, this.at(of).batched);
  }

  map(name: RowFunction, ...of: Value[]): Value {
    const given = of.map((value) => this.at(value));
    const width = Math.max(...given.map((step) => step.width));
    return this.#write(
      { kind: "map", function: name, of },
      width,
      given.some((step) => step.batched),
    );
  }

  add(a: Value, b: Value): Value {
    return this.map({ name: "add" }, a, b);
  }

  multiply(a: Value, b: Value): Value {
    return this.map({ name: "multiply" }, a, b);
  }

  scale(a: Value, by: number): Value {
    return by === 1 ? a : this.map({ name: "scale", by }, a);
  }

  activate(a: Value, activation: string, order: 0 | 1 | 2 = 0): Value {
    return this.map({ name: "activate", activation, order }, a);
  }

  repeat(of: Value, width: number): Value {
    if (this.width(of) === width) return of;
    return this.#write(
      { kind: "map", function: { name: "repeat", rows: width }, of: [of] },
      width,
      this.at(of).batched,
    );
  }

  sum(of: Value): Value {
    if (this.width(of) === 1) return of;
    return this.#write({ kind: "sum", of }, 1, this.at(of).batched);
  }

  mean(of: Value): Value {
    return this.scale(this.sum(of), 1 / this.width(of));
  }

  total(of: Value): Value {
    const { width, batched } = this.at(of);
    return batched ? this.#write({ kind: "total", of }, width, false) : of;
  }

  slice(of: Value, start: number, end: number): Value {
    const step = this.at(of);
    if (start === 0 && end === step.width) return of;
    if (step.kind === "slice") return this.slice(step.of, step.start + start, step.start + end);
    if (step.kind === "concat") {
      let at = 0;
      for (const part of step.parts) {
        const rows = typeof part === "number" ? this.width(part) : part.zeros;
        if (typeof part === "number" && start >= at && end <= at + rows) return this.slice(part, start - at, end - at);
        at += rows;
      }
    }
    return this.#write({ kind: "slice", of, start, end }, end - start, step.batched);
  }

  concat(parts: readonly Part[]): Value {
    const [only] = parts;
    if (parts.length === 1 && typeof only === "number") return only;
    const batched = parts.some((part) => typeof part === "number" && this.at(part).batched);
    return this.#write({ kind: "concat", parts }, rowsOf(this, parts), batched);
  }
}

/** Rows of some parts together. */
export function rowsOf(program: Program, parts: readonly Part[]): number {
  return parts.reduce<number>((sum, part) => sum + (typeof part === "number" ? program.width(part) : part.zeros), 0);
}
