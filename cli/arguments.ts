import { InvalidArgumentError } from "commander";
import { parse } from "csv-parse/sync";
import type { Solver, Transform } from "pushforward";
import { type AdaptiveMethod, adaptiveNames, fixedNames } from "../src/solvers/methods.ts";
import { UsageError } from "./context.ts";

/** Readers of option values; commander turns what they throw into a usage error that names the option. */

export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?([eE]\+?\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const end = most === Number.MAX_SAFE_INTEGER && !(value > most) ? "" : ` and at most ${most}`;
    throw new InvalidArgumentError(`expected a whole number of at least ${least}${end}, such as 1000 or 1e3.`);
  };
}

export function decimalWithin(
  low: number,
  high: number,
  limits: "[]" | "[)" | "(]" | "()" = "[]",
): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    const isAbove = limits.startsWith("[") ? value >= low : value > low;
    const isBelow = limits.endsWith("]") ? value <= high : value < high;
    if (Number.isFinite(value) && isAbove && isBelow) return value;
    const upper = high === Number.POSITIVE_INFINITY ? "" : ` and ${limits.endsWith("]") ? "at most" : "below"} ${high}`;
    throw new InvalidArgumentError(
      `expected a number ${limits.startsWith("[") ? "of at least" : "above"} ${low}${upper}.`,
    );
  };
}

/** "longitude,latitude" → the names, as a line of a CSV: blanks around them are dropped, and those with a comma are in quotes. */
export function nameList(text: string): string[] {
  const names = oneLine(text);
  if (names.length === 0 || names.some((name) => name === ""))
    throw new InvalidArgumentError(
      `expected names with commas between, as in longitude,latitude; a name with a comma in double quotes, as in '"income, net",age'.`,
    );
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new InvalidArgumentError(`"${twice}" is named twice.`);
  return names;
}

function oneLine(text: string): string[] {
  try {
    const lines: string[][] = parse(text, { trim: true, relax_quotes: true });
    const [line] = lines;
    return line && lines.length === 1 ? line : [];
  } catch {
    return [];
  }
}

/** A text that separates cells; \\t and tab are a tab, which a shell makes hard to type. */
export function delimiterText(text: string): string {
  if (text === "\\t" || text.toLowerCase() === "tab") return "\t";
  if (text === "") throw new InvalidArgumentError("expected a delimiter such as ',' or ';' or tab, but it is empty.");
  if (/[\r\n]/.test(text))
    throw new InvalidArgumentError("expected a delimiter within a line, but it has a line break.");
  if (/["\d.+-]/.test(text))
    throw new InvalidArgumentError(
      "expected a delimiter that is no part of numbers and no double quote, such as ',' or ';' or tab.",
    );
  return text;
}

/** "64,64,64" → widths. */
export function widthList(text: string): number[] {
  try {
    return text.split(",").map((part) => wholeNumber(1, 16_384)(part.trim()));
  } catch {
    throw new InvalidArgumentError("expected layer widths (1 to 16384) with commas between, as in 64,64,64.");
  }
}

/** "concat" or "fourier:4". */
export function timeEncoding(text: string): "concat" | { fourier: number } {
  if (text === "concat") return "concat";
  try {
    return { fourier: wholeNumber(1, 64)(/^fourier:(.+)$/.exec(text)?.[1] ?? "") };
  } catch {
    throw new InvalidArgumentError("expected concat, or fourier:K with K frequencies (1 to 64) as in fourier:4.");
  }
}

/** "interval:0:100,positive,none,circular:360,simplex:3" → a transform, column by column. */
export function transformList(text: string): Transform {
  return text.split(",").map((part) => {
    const word = part.trim();
    if (word === "none") return null;
    if (word === "positive" || word === "latitude") return { kind: word };
    const [, low, high] = /^interval:([^:]+):([^:]+)$/.exec(word) ?? [];
    if (Number(low) < Number(high)) return { kind: "interval", low: Number(low), high: Number(high) };
    const [, period, from] = /^circular:([^:]+)(?::([^:]+))?$/.exec(word) ?? [];
    const start = from === undefined ? 0 : Number(from);
    if (Number(period) > 0 && Number.isFinite(start))
      return { kind: "circular", period: Number(period), ...(start !== 0 && { low: start }) };
    const [, size] = /^simplex:([1-9]\d*)$/.exec(word) ?? [];
    if (size !== undefined) return { kind: "simplex", size: Number(size) };
    throw new InvalidArgumentError(
      `${word === "" ? "a part is empty" : `there is no ${word}`}: expected none, positive, interval:LOW:HIGH, circular:PERIOD (or circular:PERIOD:LOW), latitude or simplex:COLUMNS for each column, as in interval:0:100,positive.`,
    );
  });
}

/** "-10,10,0,5" → x from −10 to 10 and y from 0 to 5. */
export function rangePair(text: string): { x: [number, number]; y: [number, number] } {
  for (const part of text.split(",").map((word) => word.trim()))
    if (/^[+-]?(\d+\.?\d*|\.\d+)e\+?\d+$/i.test(part) && !Number.isFinite(Number(part)))
      throw new InvalidArgumentError(
        `${part} is beyond the numbers there are here: expected numbers between -3.4e38 and 3.4e38.`,
      );
  const [x0, x1, y0, y1, ...rest] = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (
    x0 !== undefined &&
    x1 !== undefined &&
    y0 !== undefined &&
    y1 !== undefined &&
    rest.length === 0 &&
    x0 < x1 &&
    y0 < y1
  ) {
    return { x: [x0, x1], y: [y0, y1] };
  }
  throw new InvalidArgumentError("expected four numbers as in -125,-66,24,50: low and high of x, then of y.");
}

export const methods = [...fixedNames, ...adaptiveNames];
/** "dopri5, bosh3 or tsit5". */
export const adaptiveList = `${adaptiveNames.slice(0, -1).join(", ")} or ${adaptiveNames.at(-1)}`;
export const isAdaptive = (method: string): method is AdaptiveMethod =>
  adaptiveNames.includes(method as AdaptiveMethod);

export interface SolverOptions {
  method: (typeof methods)[number];
  steps?: number;
  tolerance?: number;
  maxSteps?: number;
}

export const defaultSteps = 50;

/**
 * The solver that `--method` and its options name; `factor` multiplies the steps, to see how much they matter. Throws for options
 * that belong to another method.
 */
export function solverOf({ method, steps, tolerance, maxSteps }: SolverOptions, factor = 1): Solver {
  if (isAdaptive(method)) {
    if (steps !== undefined)
      throw new UsageError(`--steps is for methods with equal steps, but ${method} finds its own: use --tolerance`);
    if (factor !== 1)
      throw new UsageError(
        `--check-steps is for methods with equal steps: with ${method} compare two values of --tolerance`,
      );
    return {
      method,
      ...(tolerance !== undefined && { rtol: tolerance, atol: tolerance }),
      ...(maxSteps !== undefined && { maxSteps }),
    };
  }
  for (const [name, value] of [
    ["--tolerance", tolerance],
    ["--max-steps", maxSteps],
  ] as const)
    if (value !== undefined)
      throw new UsageError(`${name} is for --method ${adaptiveList}, but the method is ${method}: use --steps`);
  return { method, steps: (steps ?? defaultSteps) * factor };
}
