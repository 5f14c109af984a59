import { expect, test } from "vitest";
import { bitsPerDim } from "../../src/data/bits-per-dim.ts";

test("bits per dimension: nats over dim ln 2, plus the bits of the scaling", () => {
  expect(bitsPerDim(-2 * Math.log(2), 2)).toBeCloseTo(1, 12);
  // uniform 8-bit data in [0, 1): density 1, and 8 bits per value
  expect(bitsPerDim(0, 784, { bits: 8 })).toBe(8);
  expect(Array.from(bitsPerDim(Float32Array.of(0, -Math.log(4)), 1))[1]).toBeCloseTo(2, 6);
  expect(() => bitsPerDim(0, 0)).toThrow(/dim is 0/);
});
