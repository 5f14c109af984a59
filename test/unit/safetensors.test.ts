import fc from "fast-check";
import { expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";

/** A file of this header text and data bytes, without any check: what an attacker would write. */
function forge(header: unknown, data: Uint8Array | number = 0, raw?: Uint8Array): Uint8Array {
  const text = raw ?? new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}

function expectFault(file: Uint8Array, message: string | RegExp): void {
  let caught: unknown;
  try {
    decodeSafetensors(file);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(PushforwardError);
  expect((caught as PushforwardError).code).toBe("format");
  expect((caught as PushforwardError).message).toMatch(message);
}

const float = (shape: number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

test("a file written by hand, byte for byte, is read and written the same", () => {
  const header = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const bytes = [
    ...[56, 0, 0, 0, 0, 0, 0, 0],
    ...Array.from(header.padEnd(56, " "), (c) => c.charCodeAt(0)),
    ...[0x00, 0x00, 0x80, 0x3f], // 1
    ...[0x00, 0x00, 0x00, 0xc0], // -2
  ];
  const { tensors, metadata } = decodeSafetensors(Uint8Array.from(bytes));
  expect(Object.keys(tensors)).toEqual(["a"]);
  expect(tensors.a?.shape).toEqual([2]);
  expect(Array.from(tensors.a?.data ?? [])).toEqual([1, -2]);
  expect(Object.keys(metadata)).toEqual([]);
  expect(Array.from(encodeSafetensors({ a: { shape: [2], data: new Float32Array([1, -2]) } }, {}))).toEqual(bytes);
});

test("what is written is read back bit for bit, whatever the names, shapes and values", () => {
  const tensor = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }).chain((shape) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return fc.record({
      shape: fc.constant(shape),
      data: fc.float32Array({ minLength: length, maxLength: length }),
    });
  });
  const name = fc.string({ unit: "binary" }).filter((s) => s !== "__proto__" && s !== "__metadata__");
  const metadataKey = fc.string().filter((s) => s !== "__proto__");
  fc.assert(
    fc.property(fc.dictionary(name, tensor), fc.dictionary(metadataKey, fc.string()), (tensors, metadata) => {
      const file = encodeSafetensors(tensors, metadata);
      const back = decodeSafetensors(file);
      expect(Object.keys(back.tensors).sort()).toEqual(Object.keys(tensors).sort());
      for (const [key, { shape, data }] of Object.entries(tensors)) {
        expect(back.tensors[key]?.shape).toEqual(shape);
        const bits = new Uint8Array(back.tensors[key]?.data.buffer ?? new ArrayBuffer(0));
        expect(bits).toEqual(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }
      expect({ ...back.metadata }).toEqual({ ...metadata });
      expect((new DataView(file.buffer).getUint32(0, true) + 8) % 8).toBe(0);
    }),
  );
});

test("tensors lie in order of name without holes, so equal weights give equal files", () => {
  const one = { shape: [1], data: new Float32Array([1]) };
  const two = { shape: [1], data: new Float32Array([2]) };
  const file = encodeSafetensors({ b: two, a: one }, { k: "v" });
  expect(file).toEqual(encodeSafetensors({ a: one, b: two }, { k: "v" }));
  expect(Array.from(new Float32Array(file.slice(file.length - 8).buffer))).toEqual([1, 2]);
});

test("F64, F16 and BF16 are converted to f32", () => {
  const data = new Uint8Array(8 + 12 + 4);
  data.set(new Uint8Array(Float64Array.of(0.1).buffer), 0);
  data.set(new Uint8Array(Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00, 0xfc00, 0x7e00).buffer), 8);
  data.set(new Uint8Array(Uint16Array.of(0x3f80, 0xc2f7).buffer), 20);
  const header = {
    d: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
    h: { dtype: "F16", shape: [6], data_offsets: [8, 20] },
    b: { dtype: "BF16", shape: [2], data_offsets: [20, 24] },
  };
  const { tensors } = decodeSafetensors(forge(header, data));
  expect(tensors.d?.data[0]).toBe(Math.fround(0.1));
  expect(Array.from(tensors.h?.data ?? [])).toEqual([1, -2.5, 2 ** -24, Infinity, -Infinity, Number.NaN]);
  expect(Array.from(tensors.b?.data ?? [])).toEqual([1, -123.5]);
});

test("a file inside a larger buffer, at an odd byte, is read", () => {
  const file = encodeSafetensors({ a: { shape: [], data: new Float32Array([7]) } }, {});
  const larger = new Uint8Array(file.length + 9);
  larger.set(file, 3);
  expect(decodeSafetensors(larger.subarray(3, 3 + file.length)).tensors.a?.data[0]).toBe(7);
});

test("a file cut anywhere is refused", () => {
  const file = encodeSafetensors({ a: { shape: [3], data: new Float32Array([1, 2, 3]) } }, { note: "x" });
  for (let length = 0; length < file.length; length++) expectFault(file.subarray(0, length), /complete|takes|JSON/);
});

test("bytes after the last tensor are refused", () => {
  expectFault(forge({ a: float([1], 0, 4) }, 5), "take 4 bytes, but 5 bytes of data");
});

test("a header length beyond the file or the limit is refused before anything is allocated", () => {
  const file = new Uint8Array(16);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, 9n, true);
  expectFault(file, "claims 9 bytes, but only 8 follow");
  view.setBigUint64(0, 100_000_001n, true);
  expectFault(file, "at most 100000000");
  view.setBigUint64(0, 0xffff_ffff_ffff_ffffn, true);
  expectFault(file, "claims 18446744073709551615 bytes");
});

test("a header that is not UTF-8, not JSON or not an object is refused", () => {
  expectFault(forge("", 0, Uint8Array.of(0x7b, 0xff, 0x7d)), "not UTF-8");
  expectFault(forge("", 0, Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d)), "not JSON");
  expectFault(forge("{"), "not JSON");
  expectFault(forge("{} x"), "not JSON");
  expectFault(forge('"unended'), "not JSON");
  expectFault(forge("[]"), "its header is [], but it is a JSON object");
  expectFault(forge("null"), "its header is null");
  expectFault(forge("[".repeat(100_000)), "nested deeper");
});

test("a key given twice is refused, in whatever spelling", () => {
  expectFault(
    forge('{"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4),
    'key "dtype" appears twice',
  );
  expectFault(forge('{"ab":1,"\\u0061b":2}'), 'key "ab" appears twice');
  expectFault(forge('{"__metadata__":{"k":"1","k":"2"}}'), 'key "k" appears twice');
  expect(decodeSafetensors(forge('{"__metadata__":{"a":"b","b":"a,\\"b\\":{"}}')).metadata.b).toBe('a,"b":{');
});

test("__proto__ is refused as a name, and names of Object.prototype are harmless", () => {
  expectFault(forge('{"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4), "__proto__");
  expectFault(forge('{"__metadata__":{"\\u005f_proto__":"x"}}'), "__proto__");
  const { tensors, metadata } = decodeSafetensors(forge({ toString: float([], 0, 4) }, 4));
  expect(tensors.constructor).toBeUndefined();
  expect(metadata.constructor).toBeUndefined();
  expect(tensors.toString).toMatchObject({ shape: [] });
});

test("offsets that overlap, leave a hole, run backwards or leave the file are refused", () => {
  expectFault(forge({ a: float([1], 0, 4), b: float([1], 2, 6) }, 6), "overlaps");
  expectFault(forge({ a: float([1], 0, 4), b: float([1], 0, 4) }, 4), "overlaps");
  expectFault(forge({ a: float([1], 4, 8) }, 8), "gap");
  expectFault(forge({ a: float([1], 4, 0) }, 4), "begin ≤ end");
  expectFault(forge({ a: float([1], 0, 4) }, 3), "ends at byte 4 of the data, but 3 are there");
  expectFault(forge({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 8] } }, 4), "data_offsets");
  expectFault(forge({ a: { dtype: "F32", shape: [1] } }, 4), "data_offsets");
});

test("shapes that overflow, mismatch or are not sizes are refused", () => {
  expectFault(forge({ a: float([2 ** 30, 2 ** 30, 2 ** 30], 0, 4) }, 4), "overflows");
  expectFault(forge({ a: float([2 ** 40, 2 ** 40, 0], 0, 0) }), "overflows");
  expectFault(forge({ a: float([2], 0, 4) }, 4), "takes 8 bytes, but its data has 4");
  expectFault(forge({ a: float([-1, -1], 0, 4) }, 4), "integers of at least 0");
  expectFault(forge({ a: float([0.5, 2], 0, 4) }, 4), "integers of at least 0");
  expectFault(forge('{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}', 4), "integers of at least 0");
  expectFault(forge('{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}', 4), "integers of at least 0");
  expectFault(forge({ a: 3 }), 'tensor "a" is 3');
});

test("an unknown dtype is named together with those that work", () => {
  const header = { a: { dtype: "Q64", shape: [1], data_offsets: [0, 8] } };
  expectFault(forge(header, 8), /dtype "Q64", but F32, F64, F16, BF16 are supported/);
  expectFault(forge({ a: { shape: [1], data_offsets: [0, 8] } }, 8), /has no dtype, but F32, F64/);
});

test("metadata that is not text is refused", () => {
  expectFault(forge({ __metadata__: { a: 1 } }), "metadata values are strings");
  expectFault(forge({ __metadata__: ["a"] }), "JSON object");
});

test("the writer refuses what other readers could not load", () => {
  const data = new Float32Array(2);
  expect(() => encodeSafetensors({ a: { shape: [3], data } }, {})).toThrow("needs 3 values, got 2");
  expect(() => encodeSafetensors({ a: { shape: [-1, -2], data } }, {})).toThrow("at least 0");
  expect(() => encodeSafetensors({ __metadata__: { shape: [2], data } }, {})).toThrow("rename");
  expect(() => encodeSafetensors({ "\ud800": { shape: [2], data } }, {})).toThrow("surrogate");
  expect(() => encodeSafetensors({}, { a: "\udc00" })).toThrow("surrogate");
});

test("any change to any bytes either decodes or throws code format, and allocates no more than the file", () => {
  const file = encodeSafetensors(
    {
      "net.0.weight": { shape: [2, 3], data: new Float32Array(6) },
      "net.0.bias": { shape: [2], data: new Float32Array(2) },
    },
    { pushforward: '{"dim":2}' },
  );
  const edit = fc.record({ at: fc.nat(file.length - 1), byte: fc.nat(255) });
  // Digits and punctuation in the header reach deeper than random bytes.
  const digit = fc.record({
    at: fc.integer({ min: 8, max: file.length - 33 }),
    byte: fc.constantFrom(...Array.from('0123456789-.e[]{},:" \\', (c) => c.charCodeAt(0))),
  });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(edit, digit), { maxLength: 6 }),
      fc.nat(file.length),
      fc.boolean(),
      (edits, cut, isCut) => {
        const changed = file.slice(0, isCut ? cut : file.length);
        for (const { at, byte } of edits) if (at < changed.length) changed[at] = byte;
        try {
          const { tensors } = decodeSafetensors(changed);
          const held = Object.values(tensors).reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
          // F16 doubles when it becomes f32.
          expect(held).toBeLessThanOrEqual(2 * changed.length);
        } catch (error) {
          expect(error).toBeInstanceOf(PushforwardError);
          expect((error as PushforwardError).code).toBe("format");
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test("random bytes behind a plausible length are refused with code format", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
      try {
        decodeSafetensors(forge("", 0, raw));
      } catch (error) {
        expect((error as PushforwardError).code).toBe("format");
      }
    }),
    { numRuns: 1000 },
  );
});
