/*
 * Access to what must be there. A default where an invariant was meant (`weights[name] ?? []`) turns a fault of ours into wrong
 * numbers; these turn it into an error in words. In loops over particles and weights `array[i] as number` stands instead, where the
 * lengths are checked before the loop or known by construction: an element that is missing gives NaN there, which is no silence.
 * `test/unit/silence.test.ts` finds defaults of elements and lists those that are meant.
 */

/** The error of something that cannot be; `what` it is, in words. */
export const fault = (what: string): Error =>
  new Error(`internal: ${what}, which is a fault of pushforward: please report it`);

const missing = (what: string) => fault(`${what} is missing`);

/** A value that is there; `what` it is, in words, for the error of one that is not. */
export function must<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw missing(what);
  return value;
}

/** The element of a list at an index that it has. */
export function item<T>(list: ArrayLike<T>, index: number): T {
  const value = list[index];
  if (value === undefined) throw missing(`element ${index} of a list of ${list.length}`);
  return value;
}
