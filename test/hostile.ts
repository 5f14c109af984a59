import fc from "fast-check";
import { errorCodes } from "../src/errors.ts";

/** A call with arguments that are right, of which one part after another is replaced. */
export interface Template {
  readonly args: readonly unknown[];
  readonly call: (args: readonly unknown[]) => unknown;
}

/** What a getter of the caller throws: the library passes it on as it is. */
export const own = "thrown by the caller";

/** An array without its memory, as after a postMessage that transferred it. */
export function detached(length: number): Float32Array {
  const array = new Float32Array(length);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

/** Values that fit nowhere, or only in other places; made anew for each use. No count that is valid and would take hours. */
const junk: readonly (() => unknown)[] = [
  ...[undefined, null, true, false, Number.NaN, Infinity, -Infinity, -0, -1, 0.5, 1e300, 1e-300, 2 ** 53, 2 ** 60, 10n],
  ...["", "3", "midpoint", "__proto__", "gpu", "\u0000"],
  Symbol("s"),
].map((value) => () => value);
const objects: readonly (() => unknown)[] = [
  () => [],
  () => ({}),
  () => [1, 2],
  () => ["x"],
  () => [[]],
  () => Object.freeze({ steps: 3 }),
  () => Object.create(null),
  () => new Date(0),
  () => new Map([[1, 2]]),
  () => () => 1,
  () => Promise.resolve(1),
  () => ({ method: "midpoint" }),
  () => new Float32Array(0),
  () => new Float32Array(3),
  () => Float32Array.of(Number.NaN, 1, 2, 3),
  () => new Float64Array(8),
  () => new Uint8Array(8),
  () => new Int32Array(2),
  () => new Uint32Array(8).fill(9),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => (typeof SharedArrayBuffer === "undefined" ? null : new Float32Array(new SharedArrayBuffer(32))),
  () => detached(8),
  () => AbortSignal.abort(new Error(own)),
  () => ({
    get steps() {
      throw new Error(own);
    },
  }),
];

type Key = string | number;

/** Paths to every part of plain objects and arrays; typed arrays and class instances are one part. */
function paths(value: unknown): Key[][] {
  const keys: Key[] = Array.isArray(value)
    ? value.map((_, i) => i)
    : isPlain(value)
      ? Object.keys(value as object)
      : [];
  return [[], ...keys.flatMap((key) => paths((value as Record<Key, unknown>)[key]).map((rest) => [key, ...rest]))];
}

const isPlain = (value: unknown) =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

function replaced(value: unknown, [key, ...rest]: Key[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<Key, unknown>;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

/** A template's arguments with one or two parts replaced, one argument less or more, or an option that there is not. */
function hostileArgs(args: readonly unknown[]): fc.Arbitrary<{ path: string; args: () => unknown[] }> {
  const places = paths([...args]).filter((path) => path.length > 0);
  const part = fc.record({ path: fc.constantFrom(...places), by: fc.constantFrom(...junk, ...objects) });
  return fc.array(part, { minLength: 1, maxLength: 2 }).map((parts) => ({
    path: parts.map(({ path }) => path.join(".")).join(" and "),
    args: () => {
      // of two places, the second may have gone with the first
      const there = (all: unknown, path: Key[]) => path.slice(0, -1).every((_, i) => pick(all, path.slice(0, i + 1)));
      return parts.reduce<unknown[]>(
        (all, { path, by }) => (there(all, path) ? (replaced(all, path, by()) as unknown[]) : all),
        [...args],
      );
    },
  }));
}

function pick(value: unknown, path: Key[]): boolean {
  let part = value;
  for (const key of path) part = (part as Record<Key, unknown> | undefined)?.[key];
  return Array.isArray(part) || isPlain(part);
}

const raw =
  /is not a function|is not iterable|cannot read|cannot convert|invalid typed array|maximum call stack|\[object |\bat .*:\d+:\d+|validation error|GPUValidation|wgpu|\[Buffer|undefined is|detached ArrayBuffer/i;

/** Throws unless the call ends with a result, or with an error of the library in words. */
export async function endsInWords(work: () => unknown, told: string): Promise<void> {
  try {
    await ended(await work());
  } catch (error) {
    const { name, code, message } = error as { name?: string; code?: string; message?: string };
    if (message === own) return;
    if (name !== "PushforwardError" || !errorCodes.some((known) => known === code) || !message || raw.test(message))
      throw new Error(`${told}: ended with ${name} ${code ?? ""} "${message}"`, { cause: error });
  }
}

/** Takes what a stream or a training gives, to its end. */
export async function ended(result: unknown): Promise<void> {
  if (typeof (result as AsyncIterator<unknown> | undefined)?.next === "function")
    for await (const _ of result as AsyncIterable<unknown>);
}

/** The same calls each time, and others with FUZZ_SEED and FUZZ_RUNS in the environment; fast-check prints the seed of a failure. */
export function fuzzing(runs: number): { seed: number; numRuns: number; endOnFailure: boolean } {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const { FUZZ_SEED = "14", FUZZ_RUNS = String(runs) } = process?.env ?? {};
  return { seed: Number(FUZZ_SEED), numRuns: Number(FUZZ_RUNS), endOnFailure: true };
}

/** Calls a template with hostile arguments, again and again. */
export async function fuzz(name: string, { args, call }: Template, runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(hostileArgs(args), async (hostile) => {
      // the copies of a template read the caller's getters, too
      await endsInWords(() => call(hostile.args()), `${name} with another ${hostile.path}`);
    }),
    fuzzing(runs),
  );
}
