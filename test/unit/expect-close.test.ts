import { expect, test } from "vitest";
import { expectClose } from "../homes/expect-close.ts";

test("values within absolute + relative · |expected| are close", () => {
  expectClose(Float32Array.of(1, -100), [1 + 1e-5, -100.09], { relative: 1e-3, absolute: 1e-4 });
  expectClose([0], [-0], {});
  expectClose([], [], {});
});

test("the message names the worst index, what was got and what was wanted", () => {
  const compare = () => expectClose([1, 2.5, 3.1], [1, 2, 3], { absolute: 0.01 });
  expect(compare).toThrow(/2 of 3 values.*index 1: got 2\.5, wanted 2 /);
});

test("no tolerance makes up for NaN or infinity", () => {
  const tolerance = { relative: 1e9, absolute: 1e9 };
  expect(() => expectClose([Number.NaN], [1], tolerance)).toThrow("got NaN, wanted 1");
  expect(() => expectClose([1], [Number.NaN], tolerance)).toThrow("got 1, wanted NaN");
  expect(() => expectClose([1], [Number.POSITIVE_INFINITY], tolerance)).toThrow("wanted Infinity");
  expect(() => expectClose([Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY], tolerance)).toThrow(
    "wanted -Infinity",
  );
});

test("NaN matches NaN and an infinity matches its like", () => {
  const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  expectClose(values, [...values], {});
});

test("lengths must agree", () => {
  expect(() => expectClose([1, 2], [1], {})).toThrow("got 2 values, wanted 1");
});

test("NaN is the worst error there is", () => {
  expect(() => expectClose([1, Number.NaN, 9], [2, 3, 4], { absolute: 0.1 })).toThrow("index 1");
});
