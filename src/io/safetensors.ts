import { readable } from "../arrays.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { show as describe } from "../options.ts";
import { dtypes, otherDtypes } from "./dtype.ts";
import { describeForeign } from "./foreign.ts";
import { findHeaderFault } from "./header-scan.ts";

/** A named tensor's row-major values. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What a safetensors file holds; the records have no prototype, so only names of the file are found in them. */
export interface TensorFile {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
  /** Tensors that hold no weights, such as counters and masks, by their dtype: "I64", "BOOL", …. They are not read. */
  ignored: Record<string, string>;
}

/** The reference implementation's limit on the header, in bytes. */
const largestHeader = 100_000_000;
const lengthBytes = 8;
const metadataKey = "__metadata__";

/**
 * Writes tensors and string metadata as one safetensors file; equal input gives equal bytes.
 *
 * The format: the header's byte length as a little-endian u64; a JSON header of dtype, shape and byte range per tensor,
 * padded with spaces so that the data starts 8-aligned; the tensors' bytes without gaps, here as F32 in order of name.
 * Throws `invalid-argument` when a shape does not match its data or a name cannot be written.
 *
 * @example
 * import { decodeSafetensors, encodeSafetensors } from "pushforward";
 * const bytes = encodeSafetensors({ weight: { shape: [1, 2], data: new Float32Array([3, 4]) } }, { made: "by hand" });
 * console.log(decodeSafetensors(bytes).tensors.weight?.shape); // [ 1, 2 ]
 */
export function encodeSafetensors(tensors: Record<string, Tensor>, metadata: Record<string, string> = {}): Uint8Array {
  for (const [name, value] of Object.entries({ tensors, metadata }))
    if (typeof value !== "object" || value === null || Array.isArray(value) || ArrayBuffer.isView(value))
      throw invalid(
        `encodeSafetensors: ${name} is ${describe(value)}, but it is a record by name: ${name === "tensors" ? "pass { name: { shape, data } }" : "pass { key: text }"}`,
      );
  const names = Object.keys(tensors).sort();
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) header.push([metadataKey, checkMetadata(metadata)]);
  const arrays: Float32Array[] = [];
  let end = 0;
  for (const name of names) {
    const tensor = tensors[name] as Tensor; // A key of the record itself.
    const data = checkWritable(name, tensor);
    arrays.push(data);
    header.push([name, { dtype: "F32", shape: tensor.shape, data_offsets: [end, end + data.byteLength] }]);
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerLength = Math.ceil(text.length / 8) * 8;
  if (headerLength > largestHeader) {
    throw invalid(`the header takes ${headerLength} bytes, but safetensors allows ${largestHeader}: use less metadata`);
  }

  const file = new Uint8Array(lengthBytes + headerLength + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.fill(0x20, lengthBytes, lengthBytes + headerLength);
  file.set(text, lengthBytes);
  let position = lengthBytes + headerLength;
  for (const data of arrays) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return file;
}

/**
 * Reads a safetensors file; F64, F16 and BF16 become f32, integers and booleans are named in `ignored`. Nothing in the file is trusted: every length is checked
 * against the bytes that are there before anything is allocated, and any fault throws code `format`.
 *
 * @example
 * import { readFile } from "node:fs/promises";
 * import { decodeSafetensors } from "pushforward";
 * const { tensors, metadata } = decodeSafetensors(await readFile("flow.safetensors"));
 */
export function decodeSafetensors(bytes: Uint8Array): TensorFile {
  bytes = readable("the file", bytes);
  if (!(bytes instanceof Uint8Array)) {
    throw invalid(
      `a safetensors file is read from a Uint8Array of its bytes, but got ${describe(bytes)}: pass new Uint8Array(arrayBuffer), or what readFile gives`,
    );
  }
  const header = readHeader(bytes);
  const dataStart = lengthBytes + header.byteLength;
  const dataLength = bytes.length - dataStart;
  const metadata = readMetadata(header.fields.get(metadataKey));
  header.fields.delete(metadataKey);

  const entries = [...header.fields].map(([name, value]) => readEntry(name, value, dataLength));
  checkTiling(entries, dataLength);
  const tensors: Record<string, Tensor> = Object.create(null);
  const ignored: Record<string, string> = Object.create(null);
  for (const { name, shape, dtype: word, begin, end } of entries) {
    const dtype = dtypes.get(word);
    if (!dtype) {
      ignored[name] = word;
      continue;
    }
    // A copy, since the data may start at any byte; slice also leaves a Node Buffer's shared pool behind.
    const block = new Uint8Array(end - begin);
    block.set(bytes.subarray(dataStart + begin, dataStart + end));
    tensors[name] = { shape, data: dtype.toFloat32(block) };
  }
  return { tensors, metadata, ignored };
}

interface Entry {
  name: string;
  shape: number[];
  dtype: string;
  begin: number;
  end: number;
}

function readHeader(bytes: Uint8Array): { fields: Map<string, unknown>; byteLength: number } {
  if (bytes.length < lengthBytes) {
    throw fault(
      `it is ${bytes.length} bytes long, but the header's length alone takes ${lengthBytes}: is it complete?`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  const room = bytes.length - lengthBytes;
  const foreign = length > BigInt(room) ? describeForeign(bytes) : undefined;
  if (foreign !== undefined) throw fault(foreign);
  if (length > BigInt(largestHeader)) {
    throw fault(`its header claims ${length} bytes, but at most ${largestHeader} are allowed: is it another format?`);
  }
  if (length > BigInt(room)) throw fault(`its header claims ${length} bytes, but only ${room} follow: is it complete?`);
  const byteLength = Number(length);

  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes.slice(lengthBytes, lengthBytes + byteLength),
    );
  } catch (cause) {
    throw fault("its header is not UTF-8: is it another format?", cause);
  }
  const trouble = findHeaderFault(text);
  if (trouble !== undefined) throw fault(`its header is unsafe: ${trouble}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw fault(`its header is not JSON (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
  return { fields: new Map(Object.entries(asObject(parsed, "its header"))), byteLength };
}

function readMetadata(value: unknown): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  if (value === undefined) return metadata;
  for (const [key, word] of Object.entries(asObject(value, `"${metadataKey}"`))) {
    if (typeof word !== "string")
      throw fault(`its metadata ${show(key)} is ${show(word)}, but metadata values are strings`);
    metadata[key] = word;
  }
  return metadata;
}

function readEntry(name: string, value: unknown, dataLength: number): Entry {
  const record = asObject(value, `tensor ${show(name)}`);
  const dtype = typeof record.dtype === "string" ? record.dtype : "";
  const elementBytes = dtypes.get(dtype)?.bytes ?? otherDtypes.get(dtype);
  if (elementBytes === undefined) {
    const known = [...dtypes.keys()].join(", ");
    throw fault(
      `tensor ${show(name)} has ${record.dtype === undefined ? "no dtype" : `dtype ${show(record.dtype)}`}, but ${known} are supported: convert it to float32`,
    );
  }
  const shape = asCounts(record.shape, `the shape of tensor ${show(name)}`);
  const offsets = asCounts(record.data_offsets, `data_offsets of tensor ${show(name)}`);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end) {
    throw fault(
      `data_offsets of tensor ${show(name)} are ${show(offsets)}, but they are [begin, end] with begin ≤ end`,
    );
  }
  if (end > dataLength) {
    throw fault(
      `tensor ${show(name)} ends at byte ${end} of the data, but ${dataLength} are there: is the file complete?`,
    );
  }
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    if (!Number.isSafeInteger(elements)) throw fault(`the shape ${show(shape)} of tensor ${show(name)} overflows`);
  }
  if (elements * elementBytes !== end - begin) {
    const needed = elements * elementBytes;
    throw fault(`tensor ${show(name)} of shape ${show(shape)} takes ${needed} bytes, but its data has ${end - begin}`);
  }
  return { name, shape, dtype, begin, end };
}

/** The tensors cover the data from first to last byte, once: else bytes are shared by two tensors, or hidden. */
function checkTiling(entries: readonly Entry[], dataLength: number): void {
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      const how = begin < covered ? "overlaps the one before it" : "leaves a gap before it";
      throw fault(`tensor ${show(name)} begins at byte ${begin} of the data, expected ${covered}: it ${how}`);
    }
    covered = end;
  }
  if (covered !== dataLength)
    throw fault(`its tensors take ${covered} bytes, but ${dataLength} bytes of data are there`);
}

/** A tensor's data, when it can be written. */
function checkWritable(name: string, tensor: Tensor): Float32Array {
  if (name === metadataKey || name === "__proto__") throw invalid(`a tensor cannot be called "${name}": rename it`);
  checkText(name);
  const { shape, data: given } = (tensor ?? {}) as Partial<Tensor>;
  const data = readable(`tensor "${name}"`, given);
  if (!Array.isArray(shape) || !(data instanceof Float32Array))
    throw invalid(
      `tensor "${name}" is ${describe(tensor)}${tensor && !ArrayBuffer.isView(tensor) ? ` of shape ${describe(shape)} and data ${describe(data)}` : ""}, but it is { shape, data }, a list of sizes and a Float32Array`,
    );
  if (!tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw invalid(`the shape of tensor "${name}" is ${describe(tensor.shape)}, but sizes are integers of at least 0`);
  }
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  if (elements !== data.length) {
    throw invalid(`tensor "${name}" of shape ${show(tensor.shape)} needs ${elements} values, got ${data.length}`);
  }
  return data;
}

function checkMetadata(metadata: Record<string, string>): Record<string, string> {
  for (const [key, value] of Object.entries(metadata)) {
    if (key === "__proto__") throw invalid('metadata cannot have the key "__proto__": rename it');
    if (typeof value !== "string")
      throw invalid(`metadata "${key}" is ${describe(value)}, but metadata values are strings`);
    checkText(key);
    checkText(value);
  }
  return metadata;
}

/** Half a surrogate pair has no UTF-8, so other readers would refuse the whole file. */
function checkText(text: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalid(`${show(text)} has half a surrogate pair: write well-formed Unicode`);
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw fault(`${what} is ${show(value)}, but it is a JSON object`);
}

function asCounts(value: unknown, what: string): number[] {
  if (Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0)) return value;
  throw fault(
    `${what} are ${value === undefined ? "missing" : show(value)}, but they are a list of integers of at least 0`,
  );
}

/** What came out of a file, or a text, as a message shows it: JSON, cut short, since a hostile file may hold megabytes. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function fault(message: string, cause?: unknown): PushforwardError {
  return new PushforwardError("format", `the safetensors file cannot be read: ${message}`, { cause });
}
