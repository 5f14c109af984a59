import { expect, test } from "vitest";
import { toyData } from "../../src/data/toy.ts";
import { hostArray, piecemeal } from "../../src/host-array.ts";

test("an array that no engine can allocate is an error in words, with what works in its place", () => {
  const huge = () => hostArray(Float32Array, 2 ** 45, "sample: 2^44 particles", piecemeal("sample"));
  expect(huge).toThrow(
    expect.objectContaining({
      code: "out-of-memory",
      message: expect.stringMatching(/^sample: 2\^44 particles take an array of 134,217,728 MiB.*use sampleStream/),
    }),
  );
  expect(() => hostArray(Uint8Array, -1, "x", "y")).toThrow(/x take an array/);
  expect(hostArray(Uint8Array, 3, "", "")).toEqual(new Uint8Array(3));
});

test("points of a toy set are never refused by a bare RangeError", () => {
  expect(() => toyData("moons", 2 ** 31)).toThrow(/toyData: count is 2147483648.*from 0 to/);
});

test("calls that have a stream send there", () => {
  for (const call of ["sample", "push", "logProb"]) expect(piecemeal(call)).toContain(`${call}Stream`);
  expect(piecemeal("densityGrid")).toBe("use calls of fewer particles");
});
