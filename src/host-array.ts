import { PushforwardError } from "./errors.ts";
import { mebibytes } from "./options.ts";

type HostArray = Float32Array | Float64Array | Uint8Array | Uint32Array;

/**
 * A new array of a result, or the error that says that there is no room for it: engines throw a bare RangeError.
 *
 * @param what the call and what it is to give, as in "sample: 4,294,967,296 particles"
 * @param remedy what works in its place
 * @throws PushforwardError `out-of-memory`.
 */
export function hostArray<T extends HostArray>(
  type: { new (length: number): T; readonly BYTES_PER_ELEMENT: number },
  length: number,
  what: string,
  remedy: string,
): T {
  try {
    return new type(length);
  } catch (cause) {
    throw new PushforwardError(
      "out-of-memory",
      `${what} take an array of ${mebibytes(length * type.BYTES_PER_ELEMENT)}, more than this JavaScript engine can allocate: ${remedy}`,
      { cause },
    );
  }
}

/** What gives as many particles as are wanted, for the calls that give them all at once. */
export function piecemeal(what: string): string {
  const stream = /^(sample|push|logProb)$/.test(what) ? `${what}Stream, which gives them in chunks, or` : "";
  return `use ${stream ? `${stream} ` : ""}calls of fewer particles`;
}
