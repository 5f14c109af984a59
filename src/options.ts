import { invalid } from "./errors.ts";
import { item } from "./must.ts";

/** `: did you mean "…"?`, the known word nearest to what was typed; `otherwise` where none is near. */
export function hint(got: unknown, known: readonly string[], otherwise = ""): string {
  const near = typeof got === "string" ? nearest(got, known) : undefined;
  return near === undefined ? otherwise : `: did you mean "${near}"?`;
}

/** A word that begins so, else by edit distance; undefined when nothing is near. */
function nearest(got: string, known: readonly string[]): string | undefined {
  const typed = got.toLowerCase();
  let best: string | undefined;
  // of a word of three or four letters another one with two of them wrong is not near
  let bestDistance = (got.length < 5 ? 1 : Math.floor(got.length / 2)) + 1;
  for (const word of known) {
    const other = word.toLowerCase();
    const distance = typed.length > 2 && other.startsWith(typed) ? 1 : editDistance(typed, other);
    if (distance < bestDistance) [best, bestDistance] = [word, distance];
  }
  return best;
}

/** Letters that are wrong, missing or too many, and neighbours that changed places. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = item(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const exchange = swapped ? item(before, j - 2) + 1 : Infinity;
      next.push(Math.min(item(row, j) + 1, item(next, j - 1) + 1, substitution, exchange));
    }
    before = row;
    row = next;
  }
  return item(row, b.length);
}

/** Throws when `options` is not a plain object or has a key that is not known. */
export function checkKeys(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalid(`${what} takes an options object, but got ${show(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw invalid(`${what} has no option "${key}"${hint(key, known, ".")} Known: ${known.join(", ")}.`);
  }
}

/** Throws unless `value` is one of the known words. */
export function checkWord<const W extends string>(what: string, value: unknown, known: readonly W[]): W {
  const found = known.find((word) => word === value);
  if (found !== undefined) return found;
  throw invalid(
    `${what} is ${show(value)}, but it is one of ${known.map((w) => `"${w}"`).join(", ")}${hint(value, known)}`,
  );
}

/** Throws unless `value` is an integer of at least `least` (and at most `most`). */
export function checkInteger(what: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw invalid(`${what} is ${show(value)}, but it is an integer ${range}`);
}

/** Throws unless `value` is a finite number, within bounds where they are given. */
export function checkFinite(what: string, value: unknown, least = -Infinity, most = Infinity): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= least && value <= most) return value;
  const range =
    least === -Infinity && most === Infinity
      ? ""
      : most === Infinity
        ? ` of at least ${least}`
        : ` from ${least} to ${most}`;
  throw invalid(`${what} is ${show(value)}, but it is a finite number${range}`);
}

/** The least positive number that f32 holds with all of its digits; smaller ones may be 0 on a device. */
export const leastNormal = 2 ** -126;

/** Throws unless `value` is a finite number that is finite in f32, too, and not 0 there unless it is 0; within bounds where they are given. */
export function checkSingle(
  what: string,
  value: unknown,
  least = -Infinity,
  most = Infinity,
  way = "use other units",
): number {
  const number = checkFinite(what, value, least, most);
  const single = Math.abs(Math.fround(number));
  if (single === Number.POSITIVE_INFINITY)
    throw invalid(`${what} is ${number}, but devices calculate in f32, which ends at about ±3.4e38: ${way}`);
  if (number !== 0 && single < leastNormal)
    throw invalid(`${what} is ${number}, but devices calculate in f32, where it is 0: ${way}`);
  return number;
}

/** What to pass for a number that f32 does not hold, where it has no unit. */
export const singles = "pass 0 or a number from 1e-37 to 1e38";

/** How a value reads in an error message. */
export function show(value: unknown): string {
  if (typeof value === "string") return `"${value.length > 60 ? `${value.slice(0, 60)}…` : value}"`;
  if (typeof value === "function") return "a function";
  if (ArrayBuffer.isView(value))
    return `a ${Object.prototype.toString.call(value).slice(8, -1)} of ${(value as Float32Array).length ?? value.byteLength}`;
  if (Array.isArray(value))
    return value.length > 8 || value.some(Array.isArray)
      ? `an array of ${value.length}`
      : `[${Array.from(value, show).join(", ")}]`;
  if (value instanceof ArrayBuffer) return "an ArrayBuffer";
  if (value instanceof Promise) return "a Promise";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "bigint" ? `${value}n` : String(value);
}

/** "128 MiB": bytes as people read them. */
export function mebibytes(bytes: number): string {
  const value = bytes / 2 ** 20;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")} MiB`;
}
