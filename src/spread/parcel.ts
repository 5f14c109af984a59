import { PushforwardError } from "../errors.ts";
import { show } from "../options.ts";

/** Arrays that travel with a range, by name. */
export type Arrays = Readonly<Record<string, Float32Array | Float64Array | Uint32Array | Uint8Array>>;

const types = { Float32Array, Float64Array, Uint32Array, Uint8Array };
const magic = 0x31504650; // "PFP1"

interface Entry {
  name: string;
  type: keyof typeof types;
  length: number;
}

const isEntry = (entry: Partial<Entry> | null): entry is Entry =>
  typeof entry?.name === "string" &&
  Object.hasOwn(types, entry.type ?? "") &&
  Number.isSafeInteger(entry.length) &&
  (entry.length ?? -1) >= 0;

const padded = (bytes: number) => Math.ceil(bytes / 8) * 8;

/**
 * One block of bytes from JSON and arrays: two words (mark, length of the JSON), the JSON, and the arrays behind one another,
 * each part padded to eight bytes. Numbers are little-endian, as typed arrays are wherever WebGPU runs.
 */
export function pack(head: object, arrays: Arrays = {}): Uint8Array {
  const entries: Entry[] = Object.entries(arrays).map(([name, array]) => {
    return { name, type: array.constructor.name as Entry["type"], length: array.length };
  });
  const text = new TextEncoder().encode(JSON.stringify({ head, arrays: entries }));
  const parts = Object.values(arrays);
  const bytes = new Uint8Array(
    parts.reduce((sum, { byteLength }) => sum + padded(byteLength), 8 + padded(text.length)),
  );
  new Uint32Array(bytes.buffer, 0, 2).set([magic, text.length]);
  bytes.set(text, 8);
  let at = 8 + padded(text.length);
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += padded(part.byteLength);
  }
  return bytes;
}

/** What {@link pack} put together. Throws `format` for anything else. */
export function unpack<Head>(bytes: Uint8Array, what: string): { head: Head; arrays: Arrays } {
  const bad = () =>
    new PushforwardError(
      "format",
      `${what} in Redis is ${bytes.length} bytes that are no parcel of pushforward: another program writes to its keys, so pass another queue name`,
    );
  if (!(bytes instanceof Uint8Array))
    throw new PushforwardError(
      "format",
      `${what} is ${show(bytes)}, but it is a parcel of pushforward: other programs write where its workers read`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8 || view.getUint32(0, true) !== magic) throw bad();
  const length = view.getUint32(4, true);
  if (8 + padded(length) > bytes.length) throw bad();
  let parsed: { head?: Head; arrays?: Entry[] } | null;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw bad();
  }
  const { head, arrays: entries } = parsed ?? {};
  if (typeof head !== "object" || head === null || !Array.isArray(entries) || !entries.every(isEntry)) throw bad();
  const arrays: Record<string, Arrays[string]> = {};
  let at = 8 + padded(length);
  for (const { name, type, length: values } of entries) {
    const size = values * types[type].BYTES_PER_ELEMENT;
    if (at + size > bytes.length) throw bad();
    // each in memory of its own, as results of a flow are
    const own = new Uint8Array(size);
    own.set(bytes.subarray(at, at + size));
    arrays[name] = new types[type](own.buffer);
    at += padded(size);
  }
  return { head, arrays };
}
