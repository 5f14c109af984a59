import { expect, test } from "vitest";
import type { DivergenceText } from "../../shaders/field.ts";
import { integrateTileKernel, tileOf } from "../../shaders/tile.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../../src/gpu/adapter.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { waveBy } from "../../src/kernels/waves.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { tileNetwork } from "../../src/ode/network-engine.ts";

const gpu = (info: Partial<GpuInfo>, bytes = 32_768, invocations = 256): Gpu => {
  const limits = { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: invocations };
  const all = { software: false, features: [], subgroupSize: 0, subgroupMinSize: 0, subgroupMaxSize: 0, ...info };
  return { info: all, device: { limits } } as unknown as Gpu;
};
const subgroups = ["subgroups", "subgroup-size-control"];
const devices: Record<string, Gpu> = {
  "without subgroups": gpu({}, 16_384),
  "with subgroups of 32": gpu({ features: ["subgroups"], subgroupSize: 32, subgroupMinSize: 32, subgroupMaxSize: 32 }),
  "with subgroups of 4 to 64": gpu({ features: ["subgroups"], subgroupMinSize: 4, subgroupMaxSize: 64 }, 65_536, 1024),
  "whose subgroups can be asked for": gpu({ features: subgroups, subgroupMinSize: 32, subgroupMaxSize: 64 }, 49_152),
};
const velocities = {
  "an mlp of width 64": mlp({ dim: 2, hidden: [64, 64, 64] }),
  "an mlp of width 9": mlp({ dim: 3, hidden: [9], classes: 2, context: 1 }),
  "a residual network": residualMlp({ dim: 2, width: 32, blocks: 2, classes: 3 }),
};
const divergences: DivergenceText[] = [
  { mode: "none" },
  { mode: "exact", perPass: 2 },
  { mode: "probes", perPass: 1 },
  { mode: "probes", perPass: 2 },
];

/** Bytes of the arrays in workgroup memory that a kernel declares. */
function declaredBytes(code: string): number {
  const sizes: Record<string, number> = { f32: 4, vec2f: 8, vec4f: 16, f16: 2, vec2h: 4, vec4h: 8 };
  const arrays = code.matchAll(/var<workgroup> \w+: array<array<array<(\w+), (\d+)>, (\d+)>, (\d+)>/g);
  return [...arrays].reduce(
    (sum, [, type = "", a, b, c]) => sum + (sizes[type] ?? Number.NaN) * Number(a) * Number(b) * Number(c),
    0,
  );
}

for (const [where, device] of Object.entries(devices))
  test.each([false, true])(
    `a GPU's tiles fit its workgroups and are whole subgroups where these share weights: ${where}, f16 %s`,
    (isHalf) => {
      const { limits } = device.device;
      for (const [what, velocity] of Object.entries(velocities)) {
        const network = networkOf(velocity);
        const made = tileNetwork(device, network, waveBy(device.info), { half: isHalf });
        if (!made) throw new Error(`${what} has no tile`);
        for (const divergence of divergences) {
          if (divergence.mode === "exact" && network.dim === 3) continue;
          const tiling = made.tilingsOf(true, divergence)[0] as Tiling;
          const field = {
            kind: "network",
            dim: network.dim,
            network: made.fused.network,
            atOneTime: true,
            labels: network.classes > 0,
          } as const;
          const { code } = integrateTileKernel({ field, tiling, stages: 2, freeStages: true, divergence });
          const bytes = declaredBytes(code);
          const { tile = Number.NaN, lanes } = tiling;
          expect(bytes).toBe(tile * tileOf(made.fused.network, tiling, true, divergence).bytes);
          expect(code.includes("var<workgroup> pf_half")).toBe(isHalf);
          expect(bytes).toBeLessThanOrEqual(limits.maxComputeWorkgroupStorageSize);
          expect(tiling.workgroupSize).toBeLessThanOrEqual(limits.maxComputeInvocationsPerWorkgroup);
          if (tiling.wave === undefined) continue;
          const size = tiling.wave === "any" ? device.info.subgroupMaxSize : tiling.wave;
          expect((tile / lanes) % size).toBe(0);
          expect(code.includes("@subgroup_size(32)")).toBe(tiling.wave === 32);
        }
      }
    },
  );

test("the text of a tile's kernel does not grow with the width of a network", () => {
  const lengthOf = (width: number) => {
    const network = networkOf(mlp({ dim: 2, hidden: [width, width] }));
    const made = tileNetwork(gpu({}), network, undefined);
    if (!made) throw new Error("no tile");
    const divergence = { mode: "none" } as const;
    const field = { kind: "network", dim: 2, network: made.fused.network, atOneTime: true, labels: false } as const;
    const tiling = made.tilingsOf(true, divergence)[0] as Tiling;
    return integrateTileKernel({ field, tiling, stages: 2, freeStages: true, divergence }).code.length;
  };
  expect(lengthOf(64)).toBeLessThan(1.1 * lengthOf(40));
});

test("tiles are for what fits: no GPU has one for a network of many dimensions, or without room for its layers", () => {
  expect(tileNetwork(gpu({}), networkOf(mlp({ dim: 17, hidden: [16] })), undefined)).toBeUndefined();
  expect(tileNetwork(gpu({}, 1024), networkOf(mlp({ dim: 2, hidden: [64] })), undefined)).toBeUndefined();
  expect(tileNetwork(gpu({}), networkOf(mlp({ dim: 2, hidden: [512] })), undefined)).toBeUndefined();
});
