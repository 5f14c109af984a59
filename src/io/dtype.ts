/** Bytes of one element, and how a block of them becomes f32; the dtypes that a flow's weights come in. */
interface Dtype {
  readonly bytes: number;
  readonly toFloat32: (block: Uint8Array<ArrayBuffer>) => Float32Array;
}

/** The readable dtypes by their safetensors name. Blocks are little-endian and own their buffer, so views start at 0. */
export const dtypes: ReadonlyMap<string, Dtype> = new Map<string, Dtype>([
  ["F32", { bytes: 4, toFloat32: (block) => new Float32Array(block.buffer) }],
  ["F64", { bytes: 8, toFloat32: (block) => Float32Array.from(new Float64Array(block.buffer)) }],
  ["F16", { bytes: 2, toFloat32: (block) => Float32Array.from(new Uint16Array(block.buffer), halfToNumber) }],
  ["BF16", { bytes: 2, toFloat32: bfloatToFloat32 }],
]);

/** Bytes of an element of the dtypes that no weights come in: counters, masks, quantised values. */
export const otherDtypes: ReadonlyMap<string, number> = new Map([
  ...["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"].map((name) => [name, 1] as const),
  ...["U16", "I16"].map((name) => [name, 2] as const),
  ...["U32", "I32"].map((name) => [name, 4] as const),
  ...["U64", "I64", "C64"].map((name) => [name, 8] as const),
]);

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** bfloat16 is the upper half of a binary32, so shifting up is exact. */
function bfloatToFloat32(block: Uint8Array<ArrayBuffer>): Float32Array {
  const words = Uint32Array.from(new Uint16Array(block.buffer), (bits) => bits * 0x10000);
  return new Float32Array(words.buffer);
}
