import { expect, test } from "vitest";
import { item, must } from "../../src/must.ts";

test("what is there comes back as it is, be it 0, an empty text, NaN or null", () => {
  for (const value of [0, "", Number.NaN, null, false]) expect(must(value, "a value")).toBe(value);
  expect(item(Float32Array.of(0, 2), 0)).toBe(0);
  expect(item(["a", ""], 1)).toBe("");
});

test("what is missing is an error that says what, and whose fault it is", () => {
  expect(() => must(new Map().get("x"), "x of a solve")).toThrow(
    "internal: x of a solve is missing, which is a fault of pushforward: please report it",
  );
});

test("an index outside of a list is an error that says which, instead of a number", () => {
  for (const index of [-1, 2, 0.5, Number.NaN])
    expect(() => item(Float64Array.of(1, 2), index)).toThrow(`internal: element ${index} of a list of 2 is missing`);
  expect(() => item([], 0)).toThrow("internal: element 0 of a list of 0 is missing");
});
