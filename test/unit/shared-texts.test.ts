import { expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { mlp } from "../../src/network/mlp.ts";
import { passesByLayer } from "../../src/train/backward-of.ts";

const batch = { capacity: 256, count: 256, maxFlops: 1e12 };

/** Names of the distinct kernels that the passes of a likelihood's gradient have in an adapter in software, without those of rows. */
function kernelsOn(description: string, subgroupSize: number): string[] {
  const info = { software: true, subgroupSize, vendor: "", architecture: "", description };
  const velocity = mlp({ dim: 2, hidden: [96, 96, 96], activation: "sin" });
  const backward = passesByLayer({ gpu: { info } as Gpu }, velocity, true);
  const dispatches = [0, 2].flatMap((count) =>
    backward.pass(batch, {
      cotangent: "kappa",
      xbar: "eta",
      tangents: { count, first: 0, weight: 1 },
      begin: true,
    }),
  );
  const texts = new Map(dispatches.map(({ kernel }) => [kernel.code, kernel.label]));
  return [...texts.values()].filter((label) => /dense|gradient/.test(label)).sort();
}

test("passes of a likelihood with and without tangents share the kernels of their layers on lavapipe, which is slow to compile", () => {
  expect(kernelsOn("llvmpipe (LLVM 15.0.6)", 8)).toEqual([
    "dense layer",
    ...Array.from({ length: 2 }, () => "dense layer of 4 held inputs"),
    ...Array.from({ length: 2 }, () => "dense layer of 96 held inputs"),
    "resident weight gradient, 4×16, added",
  ]);
});

test("on SwiftShader, which is quick to compile, each layer has the kernel that fits it", () => {
  expect(kernelsOn("SwiftShader Device", 4).filter((label) => label === "dense layer of 96 held inputs")).toHaveLength(
    5,
  );
});
