import { argumentsOf, type Part, Program, type Result, type StepOf, type Value } from "./program.ts";

/** A sum over particles (and their tangents): what an adjoint leaves for a parameter. */
export interface Gradient {
  /** The matrix or vector. */
  readonly tensor: string;
  readonly cotangent: Value;
  /** Rows of the cotangent. */
  readonly outputs: number;
  /** Whether there is one for each tangent. */
  readonly batched: boolean;
  /** ∂W[o][from + i] = Σ c[o] h[i], and where there is a bias ∂b[o] = Σ c[o]; without it ∂w[o] = Σ c[o]. */
  readonly matrix?: {
    readonly bias: string | undefined;
    readonly from: number;
    readonly inputs: number;
    readonly of: Value;
  };
}

/** A partial derivative: a value of the program, or the same number everywhere. */
type Slope = { readonly value: Value } | { readonly constant: number };

/** Partial derivatives of a row function by each of its arguments. */
function partials(p: Program, step: StepOf<"map">, of: readonly Value[], result: Value): Slope[] {
  const { function: f } = step;
  const [a = 0, b = 0] = of;
  switch (f.name) {
    case "add":
      return [{ constant: 1 }, { constant: 1 }];
    case "subtract":
      return [{ constant: 1 }, { constant: -1 }];
    case "multiply":
      return [{ value: b }, { value: a }];
    case "scale":
      return [{ constant: f.by }];
    case "shift":
    case "repeat":
      return [{ constant: 1 }];
    case "activate":
      if (f.order === 2) throw new Error("third derivatives of activations are not known");
      return [{ value: p.activate(a, f.activation, f.order === 0 ? 1 : 2) }];
    case "inverse root":
      // d z^(−1/2) = −½ z^(−3/2) dz
      return [{ value: p.scale(p.multiply(p.multiply(result, result), result), -0.5) }];
    case "sine of turns":
      return [{ value: p.scale(p.map({ name: "cosine of turns" }, a), 2 * Math.PI) }];
    case "cosine of turns":
      return [{ value: p.scale(p.map({ name: "sine of turns" }, a), -2 * Math.PI) }];
  }
}

const times = (p: Program, partial: Slope, value: Value): Value =>
  "constant" in partial ? p.scale(value, partial.constant) : p.multiply(partial.value, value);

/** Writes a step of one program into another, where its arguments are `of`. */
export function copyStep(p: Program, step: Result, moved: (value: Value) => Value): Value {
  switch (step.kind) {
    case "input":
      return p.input(step.name, step.width, step.batched);
    case "parameter":
      return p.parameter(step.tensor, step.width);
    case "linear": {
      if (step.transposed) return p.transposed(moved(step.of), step.tensor, step.from, step.to);
      return p.linear(moved(step.of), { tensor: step.tensor, outputs: step.width }, step.bias, step.from);
    }
    case "project":
      return p.project(moved(step.of), step.matrix, step.turns);
    case "map":
      return p.map(step.function, ...step.of.map(moved));
    case "sum":
      return p.sum(moved(step.of));
    case "total":
      return p.total(moved(step.of));
    case "slice":
      return p.slice(moved(step.of), step.start, step.start + step.width);
    case "concat":
      return p.concat(step.parts.map((part) => (typeof part === "number" ? moved(part) : part)));
  }
}

/** The tangent of a step where its arguments are `of` and theirs `tangents` (undefined is zero); undefined when it is zero. */
function tangentOf(
  p: Program,
  step: Result,
  result: Value,
  moved: (value: Value) => Value,
  tangent: (value: Value) => Value | undefined,
): Value | undefined {
  switch (step.kind) {
    case "input":
    case "parameter":
      return undefined;
    case "map": {
      const of = step.of.map(moved);
      const slopes = partials(p, step, of, result);
      const terms = step.of.flatMap((argument, i) => {
        const given = tangent(argument);
        const slope = slopes[i];
        return given === undefined || slope === undefined ? [] : [times(p, slope, given)];
      });
      const [first, ...rest] = terms;
      if (first === undefined) return undefined;
      const sum = rest.reduce((sum, term) => p.add(sum, term), first);
      return p.repeat(sum, step.width);
    }
    case "concat": {
      const parts = step.parts.map((part): Part => {
        if (typeof part !== "number") return part;
        return tangent(part) ?? { zeros: p.width(moved(part)) };
      });
      return parts.some((part) => typeof part === "number") ? p.concat(parts) : undefined;
    }
    case "total":
      throw new Error("tangents do not go through a sum over tangents");
    default: {
      const given = tangent(step.of);
      if (given === undefined) return undefined;
      switch (step.kind) {
        case "linear":
          return p.linear(given, { tensor: step.tensor, outputs: step.width }, undefined, step.from);
        case "project":
          return p.project(given, step.matrix, false);
        case "sum":
          return p.sum(given);
        case "slice":
          return p.slice(given, step.start, step.start + step.width);
      }
    }
  }
}

/**
 * The program with tangents beside its values, each behind the value that it belongs to: `seeds` names the inputs that move and the
 * inputs that hold their tangents (forward mode; Griewank & Walther 2008, ch. 3).
 */
export function withTangents(
  from: Program,
  outputs: readonly Value[],
  seeds: ReadonlyMap<string, string>,
): { program: Program; values: Value[]; tangents: (Value | undefined)[] } {
  const p = new Program();
  const values = new Map<Value, Value>();
  const tangents = new Map<Value, Value>();
  const moved = (value: Value) => {
    const there = values.get(value);
    if (there === undefined) throw new Error(`step ${value} is not in the new program`);
    return there;
  };
  for (const [i, step] of from.steps.entries()) {
    const value = copyStep(p, step, moved);
    values.set(i, value);
    const seed = step.kind === "input" ? seeds.get(step.name) : undefined;
    const tangent =
      seed === undefined
        ? tangentOf(p, step, value, moved, (argument) => tangents.get(argument))
        : p.input(seed, step.width, true);
    if (tangent !== undefined) tangents.set(i, tangent);
  }
  return { program: p, values: outputs.map(moved), tangents: outputs.map((output) => tangents.get(output)) };
}

/** Rows `start` … of a value that a cotangent is of. */
interface Contribution {
  readonly start: number;
  readonly value: Value;
}

/** The sum of what reached a value of `width` rows; parts that do not overlap are laid side by side. */
function gathered(p: Program, width: number, given: readonly Contribution[]): Value {
  const whole = given.filter(({ value }) => p.width(value) === width).map(({ value }) => value);
  let rest = given.filter(({ value }) => p.width(value) < width);
  while (rest.length > 0) {
    rest = [...rest].sort((a, b) => a.start - b.start);
    const parts: Part[] = [];
    const later: Contribution[] = [];
    let end = 0;
    for (const part of rest) {
      if (part.start < end) {
        later.push(part);
        continue;
      }
      if (part.start > end) parts.push({ zeros: part.start - end });
      parts.push(part.value);
      end = part.start + p.width(part.value);
    }
    if (end < width) parts.push({ zeros: width - end });
    whole.push(p.concat(parts));
    rest = later;
  }
  const [first, ...more] = whole;
  if (first === undefined) throw new Error("a value without a cotangent was asked for one");
  return more.reduce((sum, value) => p.add(sum, value), first);
}

/**
 * Writes the reverse of a program behind it (reverse mode; Griewank & Walther 2008, ch. 3): from the cotangents of some values those
 * of the inputs in `wanted`, and the sums that are the gradients of the parameters. Where the program has tangents this is reverse over
 * forward, and the gradients are those of whatever was made of values and tangents.
 */
export function reverse(
  p: Program,
  cotangents: readonly { readonly of: Value; readonly cotangent: Value }[],
  wanted: readonly string[],
  trains: boolean,
): { inputs: Map<string, Value>; gradients: Gradient[] } {
  const end = Math.max(...cotangents.map(({ of }) => of)) + 1;
  const needed = needs(p, end, wanted, trains);
  const reached: Contribution[][] = Array.from({ length: end }, () => []);
  const give = (value: Value, cotangent: Value, start = 0) => {
    if (needed[value]) reached[value]?.push({ start, value: cotangent });
  };
  for (const { of, cotangent } of cotangents) give(of, cotangent);
  const inputs = new Map<string, Value>();
  const gradients: Gradient[] = [];
  for (let i = end - 1; i >= 0; i--) {
    const given = reached[i];
    if (!given || given.length === 0) continue;
    const step = p.at(i);
    const cotangent = gathered(p, step.width, given);
    if (step.kind === "input") inputs.set(step.name, cotangent);
    const common = { cotangent, outputs: step.width, batched: p.at(cotangent).batched };
    if (step.kind === "parameter") gradients.push({ tensor: step.tensor, ...common });
    if (step.kind === "linear" && trains && !step.transposed) {
      const matrix = { bias: step.bias, from: step.from, inputs: step.to - step.from, of: step.of };
      gradients.push({ tensor: step.tensor, ...common, matrix });
    }
    adjoint(p, step, i, cotangent, needed, give);
  }
  return { inputs, gradients };
}

/** Which values a wanted cotangent, or a parameter, is behind. */
function needs(p: Program, end: number, wanted: readonly string[], trains: boolean): boolean[] {
  const needed: boolean[] = [];
  for (let i = 0; i < end; i++) {
    const step = p.at(i);
    const own =
      step.kind === "input"
        ? wanted.includes(step.name)
        : trains && (step.kind === "parameter" || step.kind === "linear");
    needed.push(own || argumentsOf(step).some((argument) => needed[argument]));
  }
  return needed;
}

function adjoint(
  p: Program,
  step: Result,
  result: Value,
  cotangent: Value,
  needed: readonly boolean[],
  give: (value: Value, cotangent: Value, start?: number) => void,
): void {
  /** Gives what one argument of a row function is due: summed over the rows and tangents that it was spread over. */
  const spread = (argument: Value, value: Value) => {
    const { width, batched } = p.at(argument);
    const rows = width === 1 ? p.sum(value) : value;
    give(argument, batched ? rows : p.total(rows));
  };
  switch (step.kind) {
    case "input":
    case "parameter":
      return;
    case "map": {
      const slopes = partials(p, step, step.of, result);
      for (const [k, argument] of step.of.entries()) {
        const slope = slopes[k];
        if (needed[argument] && slope !== undefined) spread(argument, times(p, slope, cotangent));
      }
      return;
    }
    case "linear":
      if (step.transposed) throw new Error("the reverse of a reverse is not known");
      if (needed[step.of]) give(step.of, p.transposed(cotangent, step.tensor, step.from, step.to));
      return;
    case "project": {
      const [row = []] = step.matrix;
      const across = row.map((_, j) => step.matrix.map((line) => line[j] as number));
      if (needed[step.of]) give(step.of, p.project(cotangent, across, false));
      return;
    }
    case "sum":
      if (needed[step.of]) give(step.of, p.repeat(cotangent, p.width(step.of)));
      return;
    case "total":
      throw new Error("the reverse of a sum over tangents is not known");
    case "slice":
      if (needed[step.of]) give(step.of, cotangent, step.start);
      return;
    case "concat": {
      let start = 0;
      for (const part of step.parts) {
        if (typeof part !== "number") {
          start += part.zeros;
          continue;
        }
        const width = p.width(part);
        if (needed[part]) give(part, p.slice(cotangent, start, start + width));
        start += width;
      }
      return;
    }
  }
}

/** Whether each value depends on some inputs. */
export function dependsOn(p: Program, names: readonly string[]): boolean[] {
  const depends: boolean[] = [];
  for (const step of p.steps)
    depends.push(
      step.kind === "input" ? names.includes(step.name) : argumentsOf(step).some((argument) => depends[argument]),
    );
  return depends;
}
