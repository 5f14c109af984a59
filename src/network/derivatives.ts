import { item, must } from "../must.ts";
import { type Part, Program, type Result, reached, type StepOf, type Value } from "./program.ts";

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
  const a = item(of, 0);
  switch (f.name) {
    case "add":
      return [{ constant: 1 }, { constant: 1 }];
    case "subtract":
      return [{ constant: 1 }, { constant: -1 }];
    case "multiply":
      return [{ value: item(of, 1) }, { value: a }];
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

const added = (p: Program, terms: readonly Value[]): Value => terms.reduce((sum, term) => p.add(sum, term));

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
        return given === undefined ? [] : [times(p, item(slopes, i), given)];
      });
      return terms.length === 0 ? undefined : p.repeat(added(p, terms), step.width);
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

/** The input of a program with tangents that holds those of x. */
export const tangentOfX = "dx";

/**
 * The program with the tangents beside its values that belong to a tangent of x, each behind the value that it belongs to (forward
 * mode; Griewank & Walther 2008, ch. 3).
 */
export function withTangents(
  from: Program,
  output: Value,
): { readonly program: Program; readonly output: Value; readonly tangent: Value } {
  const p = new Program();
  const values: Value[] = [];
  const tangents = new Map<Value, Value>();
  const moved = (value: Value) => item(values, value);
  for (const [i, step] of from.steps.entries()) {
    const value = copyStep(p, step, moved);
    values.push(value);
    const tangent =
      step.kind === "input" && step.name === "x"
        ? p.input(tangentOfX, step.width, true)
        : tangentOf(p, step, value, moved, (argument) => tangents.get(argument));
    if (tangent !== undefined) tangents.set(i, tangent);
  }
  const tangent = must(tangents.get(output), "the tangent of a velocity, which depends on x");
  return { program: p, output: moved(output), tangent };
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
  return added(p, whole);
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
  const needed = reached(p, (step) =>
    step.kind === "input"
      ? wanted.includes(step.name)
      : trains && (step.kind === "parameter" || step.kind === "linear"),
  );
  const received: Contribution[][] = Array.from({ length: end }, () => []);
  const give: Give = (value, make, start = 0) => {
    if (needed[value]) item(received, value).push({ start, value: make() });
  };
  for (const { of, cotangent } of cotangents) give(of, () => cotangent);
  const inputs = new Map<string, Value>();
  const gradients: Gradient[] = [];
  for (let i = end - 1; i >= 0; i--) {
    const given = item(received, i);
    if (given.length === 0) continue;
    const step = p.at(i);
    const cotangent = gathered(p, step.width, given);
    if (step.kind === "input") inputs.set(step.name, cotangent);
    const common = { cotangent, outputs: step.width, batched: p.at(cotangent).batched };
    if (step.kind === "parameter") gradients.push({ tensor: step.tensor, ...common });
    if (step.kind === "linear" && trains && !step.transposed) {
      const matrix = { bias: step.bias, from: step.from, inputs: step.to - step.from, of: step.of };
      gradients.push({ tensor: step.tensor, ...common, matrix });
    }
    adjoint(p, step, i, cotangent, give);
  }
  return { inputs, gradients };
}

/** Gives a value, where it is needed, a cotangent of its rows from `start` on. */
type Give = (value: Value, make: () => Value, start?: number) => void;

function adjoint(p: Program, step: Result, result: Value, cotangent: Value, give: Give): void {
  /** What an argument of a row function is due: summed over the rows and tangents that it was spread over. */
  const gatheredFor = (argument: Value, value: Value): Value => {
    const { width, batched } = p.at(argument);
    const rows = width === 1 ? p.sum(value) : value;
    return batched ? rows : p.total(rows);
  };
  switch (step.kind) {
    case "input":
    case "parameter":
      return;
    case "map": {
      const slopes = partials(p, step, step.of, result);
      for (const [k, argument] of step.of.entries())
        give(argument, () => gatheredFor(argument, times(p, item(slopes, k), cotangent)));
      return;
    }
    case "linear":
      if (step.transposed) throw new Error("the reverse of a reverse is not known");
      give(step.of, () => p.transposed(cotangent, step.tensor, step.from, step.to));
      return;
    case "project": {
      const across = item(step.matrix, 0).map((_, j) => step.matrix.map((line) => line[j] as number));
      give(step.of, () => p.project(cotangent, across, false));
      return;
    }
    case "sum":
      give(step.of, () => p.repeat(cotangent, p.width(step.of)));
      return;
    case "total":
      throw new Error("the reverse of a sum over tangents is not known");
    case "slice":
      give(step.of, () => cotangent, step.start);
      return;
    case "concat": {
      let start = 0;
      for (const part of step.parts) {
        const rows = typeof part === "number" ? p.width(part) : part.zeros;
        const first = start;
        if (typeof part === "number") give(part, () => p.slice(cotangent, first, first + rows));
        start += rows;
      }
      return;
    }
  }
}
