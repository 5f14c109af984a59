import { invalid } from "../errors.ts";
import { checkFinite, checkInteger, checkKeys, checkSingle, checkWord, show } from "../options.ts";

/** Throws, in words, for what an option cannot be, and gives the value to go on with; `name` is the option's in messages: "sample: seed". */
export type Check<V> = (name: string, value: unknown) => V;

/** One option. Its type and its docstring stand in the interface of the options, which {@link Schema} holds against it. */
export interface Field<V> {
  readonly check: Check<V>;
  /** The value where the option is left out; nothing where there is none. */
  readonly fallback?: V;
  /** It cannot be left out. */
  readonly required?: true;
}

/** How an option gets to workers on other threads and machines, of a call that they share. */
export interface Travels {
  /**
   * `"call"`: as JSON, with each range of the call. `"particles"`: an array of which each range gets the rows of its particles.
   * `"stays"`: it is the caller's own affair. `"refused"`: the workers choose it.
   */
  readonly travels: "call" | "particles" | "stays" | "refused";
  /** How the options get there that its value consists of, where it is a record of them. */
  readonly parts?: Readonly<Record<string, Travels>>;
}

/** What a checkpoint remembers of an option of a training. */
export interface Decides {
  /** Whether the trained bits depend on it, so that a training that goes on must have the same. A text: by which name that is told. */
  readonly decides: boolean | string;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/**
 * All that the library knows of a record of options, one field an option: what they are checked by, what stands for those that are
 * left out, where they travel, what a checkpoint remembers. A field that is missing or of another type does not compile.
 */
export type Schema<O, More = unknown> = {
  readonly [K in keyof O]-?: Field<Exclude<O[K], undefined>> &
    More &
    (Record<never, never> extends Pick<O, K> ? unknown : { readonly required: true });
};

type Value<F> = F extends { readonly check: Check<infer V> } ? V : never;
type Given<F> = {
  [K in keyof F]: F[K] extends { readonly fallback: unknown } | { readonly required: true } ? K : never;
}[keyof F];

/** Options that have passed their schema: with the fallbacks, and without those that are not set. */
export type Checked<F> = { [K in Given<F>]: Value<F[K]> } & { [K in Exclude<keyof F, Given<F>>]?: Value<F[K]> };

/** Fields that no option of O belongs to: none. */
type Only<O, F> = { readonly [K in Exclude<keyof F, keyof O>]: never };

/**
 * Checks options by their schema; `prefix` stands before an option's name in messages.
 *
 * @throws PushforwardError `invalid-argument` for what is no options object, an option that is not known, or a value that it cannot have.
 */
export function checked<O extends object, F extends Schema<O>>(
  what: string,
  fields: F & Only<O, F>,
  given: O,
  prefix = `${what}: `,
): Checked<F> {
  checkKeys(what, given, Object.keys(fields));
  const options: Record<string, unknown> = {};
  for (const [name, { check, fallback, required }] of Object.entries<Field<unknown>>(fields)) {
    const value = (given as Record<string, unknown>)[name];
    const own = value === undefined && !required ? fallback : check(prefix + name, value);
    if (own !== undefined) options[name] = own;
  }
  return options as Checked<F>;
}

/** For an option that is checked where that is known which it depends on: the flow, the number of particles, other options. */
export function later<V>(_name: string, value: unknown): V {
  return value as V;
}

export const integer =
  (least: number, most?: number): Check<number> =>
  (name, value) =>
    checkInteger(name, value, least, most);

export const finite =
  (least?: number, most?: number): Check<number> =>
  (name, value) =>
    checkFinite(name, value, least, most);

/** A number that f32 holds; see {@link checkSingle}. */
export const single =
  (least?: number, most?: number, way?: string): Check<number> =>
  (name, value) =>
    checkSingle(name, value, least, most, way);

export const word =
  <const W extends string>(...known: readonly W[]): Check<W> =>
  (name, value) =>
    checkWord(name, value, known);

/** True or false; `why` follows where it has to be said. */
export const flag =
  (why = ""): Check<boolean> =>
  (name, value) => {
    if (typeof value === "boolean") return value;
    throw invalid(`${name} is ${show(value)}, but it is true or false${why}`);
  };

/** A function; `kind` says of what, or that does what. */
export const functionThat =
  <F>(kind: string): Check<F> =>
  (name, value) => {
    if (typeof value === "function") return value as F;
    throw invalid(`${name} is ${show(value)}, but it is a function ${kind}`);
  };
