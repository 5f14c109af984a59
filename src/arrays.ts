import { invalid } from "./errors.ts";

const kinds = { Float32Array, Float64Array, Uint32Array, Uint8Array } as const;
type Kind = (typeof kinds)[keyof typeof kinds];

const tagOf = (value: object): string => Object.prototype.toString.call(value).slice("[object ".length, -1);

/**
 * An array of the caller's as this library and WebGPU can read it: of this realm (not of a frame or a `node:vm` context), and in memory
 * that nobody shares or resizes while a call runs. The array itself where it is so already, else a view or a copy of it; what is no
 * array of numbers passes, for the caller to refuse by what it needs.
 *
 * @throws PushforwardError `invalid-argument` where the memory is gone, or an object only stands for an array.
 */
export function readable<T>(name: string, value: T): T {
  if (!ArrayBuffer.isView(value)) {
    if (typeof value === "object" && Object.values(kinds).some((kind) => value instanceof kind))
      throw invalid(
        `${name} is an object that stands for an array (a Proxy?), but it is an array: pass the array itself`,
      );
    return value;
  }
  const tag = tagOf(value);
  const kind = (kinds as Record<string, Kind | undefined>)[tag];
  if (!kind) return value;
  const array = value as unknown as InstanceType<Kind>;
  if (!isThere(array))
    throw invalid(
      `${name} is a ${tag} whose memory is gone, since its ArrayBuffer was transferred or shrunk: pass an array that nobody else takes, or a copy of it (slice())`,
    );
  const { buffer, byteOffset, length } = array;
  if (tagOf(buffer) !== "ArrayBuffer" || (buffer as { resizable?: boolean }).resizable === true)
    return new kind(array) as unknown as T;
  return value instanceof kind ? value : (new kind(buffer, byteOffset, length) as unknown as T);
}

/** Whether an array still has its memory: every method of one that has not throws. */
function isThere(array: InstanceType<Kind>): boolean {
  try {
    Uint8Array.prototype.at.call(array, 0);
    return true;
  } catch {
    return false;
  }
}

/** The values, so many times. */
export function repeated<A extends Uint32Array | Float32Array>(values: A, times: number): A {
  const all = new (values.constructor as new (length: number) => A)(values.length * times);
  for (let k = 0; k < times; k++) all.set(values, k * values.length);
  return all;
}
