import { expect, test } from "vitest";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { numbered, pack, paramsBytes, read, several, wordsOf, write } from "../../shaders/interface.ts";
import { kernel } from "../../shaders/kernel.ts";
import { numbersOf, struct } from "../../shaders/struct.ts";

/** A kernel of several terms, which may be scaled. */
const sum = ({ terms, scaled }: { terms: number; scaled: boolean }) =>
  kernel({
    label: "a sum",
    entryPoint: "sum",
    params: { count: "u32", scale: scaled && "f32", ...several("w", terms, "f32") },
    buffers: {
      total: write("array<f32>"),
      ...several("rows", terms, read("array<vec4f>")),
      marks: scaled && read("Marks"),
    },
    code: "fn sum() {}",
  });
const size = { workgroups: [1], flops: 1 } as const;
const small = sum({ terms: 0, scaled: false });

test("the text of a kernel begins with its struct and its numbered bindings, of what its shape has", () => {
  expect(small.code).toBe(`struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
fn sum() {}`);
  expect(sum({ terms: 2, scaled: true }).code).toBe(`struct Params { count: u32, scale: f32, w0: f32, w1: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
@group(0) @binding(2) var<storage, read> rows0: array<vec4f>;
@group(0) @binding(3) var<storage, read> rows1: array<vec4f>;
@group(0) @binding(4) var<storage, read> marks: Marks;
fn sum() {}`);
});

test("where a user's names may be, every name of the library begins with pf_, and extensions come first", () => {
  const { params, buffers } = small;
  const code = kernel({ label: "", entryPoint: "", enable: ["f16"], prefix: "pf_", params, buffers, code: "" }).code;
  expect(code).toBe(`enable f16;
struct PfParams { count: u32 }
@group(0) @binding(0) var<uniform> pf_params: PfParams;
@group(0) @binding(1) var<storage, read_write> pf_total: array<f32>;
`);
});

test("the bytes of params follow the declaration, in whatever order their numbers are given", () => {
  const made = dispatchOf(sum({ terms: 2, scaled: true }), {
    params: { ...numbered("w", [0.25, -1]), scale: 0.5, count: 2 ** 32 - 1 },
    buffers: { marks: "m", total: "t", ...numbered("rows", ["a", "b"]) },
    ...size,
  });
  const words = wordsOf(2);
  pack(made.kernel.params, made.params, words, 1);
  const at = paramsBytes / 4;
  expect(words.integers[at]).toBe(2 ** 32 - 1);
  expect([...words.floats.subarray(at + 1, at + 4)]).toEqual([0.5, 0.25, -1]);
  expect(Object.entries(made.buffers)).toEqual([
    ["total", "t"],
    ["rows0", "a"],
    ["rows1", "b"],
    ["marks", "m"],
  ]);
});

test("names that are missing or unknown do not compile, and are errors in words where a plan is made", () => {
  const buffers = { total: "t", marks: undefined };
  const params = { count: 1, scale: undefined };
  dispatchOf(small, { params, buffers, ...size });
  // @ts-expect-error a param is missing
  expect(() => dispatchOf(small, { params: { scale: 1 }, buffers, ...size })).toThrow(
    /internal: a param of "a sum", count, is not given/,
  );
  // @ts-expect-error an optional buffer must be left out in words
  dispatchOf(small, { params, buffers: { total: "t" }, ...size });
  // @ts-expect-error a buffer that is always there may not be left out
  expect(() => dispatchOf(small, { params, buffers: { ...buffers, total: undefined }, ...size })).toThrow(
    /a buffer of "a sum", total, is not given/,
  );
  expect(() =>
    // @ts-expect-error no such buffer
    dispatchOf(small, { params, buffers: { total: "t", marks: undefined, totals: "t" }, ...size }),
  ).toThrow(/totals, is given but not declared/);
});

test("what only other shapes of a kernel have is refused, and what this one has is asked for", () => {
  const params = { count: 1, scale: undefined };
  expect(() =>
    dispatchOf(small, { params: { ...params, scale: 1 }, buffers: { total: "t", marks: undefined }, ...size }),
  ).toThrow(/a param of "a sum", scale, is given but not declared/);
  const buffers = { total: "t", marks: undefined, ...numbered("rows", ["a"]) };
  expect(() =>
    dispatchOf(sum({ terms: 2, scaled: false }), { params: { ...params, ...numbered("w", [1, 1]) }, buffers, ...size }),
  ).toThrow(/a buffer of "a sum", rows1, is not given/);
});

test("params that do not fit their block are refused", () => {
  expect(sum({ terms: paramsBytes / 4 - 1, scaled: false }).label).toBe("a sum");
  expect(() => sum({ terms: paramsBytes / 4, scaled: false })).toThrow(/internal: "a sum" has too many params/);
});

test("a struct's vectors begin at multiples of their size, as WGSL has them, and its numbers lie at their names", () => {
  const mixed = struct("Mixed", { a: "f32", b: "vec2f", c: "f32", d: "vec4f", e: "f32" });
  expect(mixed.text).toBe("struct Mixed { a: f32, b: vec2f, c: f32, d: vec4f, e: f32 }");
  expect(mixed.at).toEqual({ a: 0, b: 2, c: 4, d: 8, e: 12 });
  expect(mixed.words).toBe(16);
  const numbers = numbersOf(mixed, { e: 6, d: [2, 3, 4, 5], a: 1, b: [7, 8], c: 9 });
  expect(numbers).toEqual([1, 0, 7, 8, 9, 0, 0, 0, 2, 3, 4, 5, 6, 0, 0, 0]);
});
