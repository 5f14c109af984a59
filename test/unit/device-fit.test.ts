import { expect, test } from "vitest";
import { mlp } from "../../src/network/mlp.ts";
import { checkNetworkFits } from "../../src/velocity/device-fit.ts";

const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 } as GPUSupportedLimits;

test("a network beyond the device is refused at once, with the width that fits", () => {
  const check = (hidden: number[]) => () => checkNetworkFits("Flow.create", mlp({ dim: 2, hidden }), limits);
  expect(check([6000, 6000])).toThrow(/36,0\d\d,\d{3} weights of this network take 138 MiB, .* at most 128 MiB/);
  let width = 0;
  try {
    check([6000, 6000])();
  } catch (error) {
    width = Number(/layers up to (\d+) wide fit/.exec((error as Error).message)?.[1]);
  }
  expect(check([width, width])).not.toThrow();
  expect(check([width + 1, width + 1])).toThrow("binds at most");
});
