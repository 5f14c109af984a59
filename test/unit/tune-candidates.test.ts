import { expect, test } from "vitest";
import type { DivergenceText } from "../../shaders/field.ts";
import { integrateKernel } from "../../shaders/integrate.ts";
import { type NarrowMlp, packedSizes } from "../../shaders/narrow-sizes.ts";
import { narrowTexts } from "../../shaders/narrow-turns.ts";
import type { GpuInfo } from "../../src/gpu/adapter.ts";
import { chooseTiling } from "../../src/kernels/tiling.ts";
import { candidateTilings, sameTiling } from "../../src/tune/candidates.ts";
import { keptTiling, mark, storeKey, withTiling } from "../../src/tune/kept.ts";

const limits = {
  maxUniformBufferBindingSize: 65536,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
};
const device = (o: Partial<GpuInfo>): GpuInfo => ({
  vendor: "maker",
  architecture: "",
  description: "",
  software: false,
  features: [],
  subgroupSize: 0,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  ...o,
});
const devices: Record<string, GpuInfo> = {
  SwiftShader: device({ software: true, subgroupSize: 4 }),
  lavapipe: device({ software: true, subgroupSize: 8, description: "llvmpipe" }),
};
const network = (o: Partial<NarrowMlp> = {}): NarrowMlp => ({
  dim: 2,
  layers: 3,
  width: 64,
  activation: "silu",
  fourier: 0,
  conditioned: false,
  ...o,
});
const divergences: DivergenceText[] = [
  { mode: "none" },
  { mode: "exact", perPass: 2 },
  { mode: "exact", perPass: 3 },
  { mode: "probes", perPass: 1 },
];

for (const [name, info] of Object.entries(devices)) {
  test(`candidates fit the device and are different kernels: ${name}`, () => {
    for (const mlp of [
      network(),
      network({ width: 16, dim: 13 }),
      network({ width: 128 }),
      network({ conditioned: true }),
    ]) {
      for (const divergence of divergences) {
        const tangents = "perPass" in divergence ? divergence.perPass : 0;
        const fixed = chooseTiling(info, limits.maxUniformBufferBindingSize, mlp, tangents);
        const found = candidateTilings(info, limits, mlp, divergence, fixed);
        expect(found[0]).toBe(fixed);
        expect(found.length).toBeGreaterThan(1);
        for (const [i, tiling] of found.entries()) {
          expect(found.findIndex((other) => sameTiling(other, tiling))).toBe(i);
          expect(64 % (tiling.tile ?? tiling.lanes * tiling.groups)).toBe(0);
          if (tiling.space === "uniform")
            expect(16 * packedSizes(mlp, tiling.outputs).total).toBeLessThanOrEqual(limits.maxUniformBufferBindingSize);
          const { code } = integrateKernel({
            field: { kind: "mlp", ...mlp, texts: narrowTexts },
            tiling,
            stages: 2,
            freeStages: true,
            divergence,
          });
          const [, size] = /@workgroup_size\((\d+)\)/.exec(code) ?? [];
          expect(Number(size)).toBe(tiling.workgroupSize);
          expect(Number(size)).toBeLessThanOrEqual(limits.maxComputeInvocationsPerWorkgroup);
        }
      }
    }
  });
}

test("kept choices are told apart by adapter, subgroup size, features and network", () => {
  const infos = [
    device({}),
    device({ vendor: "other" }),
    device({ description: "other" }),
    device({ architecture: "other" }),
    device({ subgroupSize: 32 }),
    device({ features: ["subgroups"] }),
  ];
  const keys = infos.flatMap((info) => ["one", "another"].map((net) => storeKey(info, net)));
  expect(new Set(keys).size).toBe(keys.length);
});

test("a kept choice comes back as the candidate that it was, beside others of its network", () => {
  const mlp = network();
  const info = device({ software: true });
  const candidates = candidateTilings(info, limits, mlp, { mode: "none" }, chooseTiling(info, 65536, mlp, 0));
  const chosen = candidates[3] ?? candidates[0];
  if (!chosen) throw new Error("no candidates");
  const text = withTiling(withTiling(undefined, "exact", chosen, "a"), "none", chosen, "b");
  expect(keptTiling(text, "none", candidates, () => "b")).toBe(chosen);
  expect(keptTiling(text, "exact", candidates, () => "a")).toBe(chosen);
  expect(keptTiling(text, "exact", candidates, () => "changed")).toBeUndefined();
  expect(keptTiling(text, "probes", candidates, () => "a")).toBeUndefined();
});

test("the mark of a text changes with every character", () => {
  const text = "fn integrate() { let a = 1.0; }";
  const others = Array.from(text, (_, i) => `${text.slice(0, i)}~${text.slice(i + 1)}`);
  expect(new Set([text, `${text} `, ...others].map(mark)).size).toBe(text.length + 2);
});

test("registers that rotate are numbers, no vectors, of which lavapipe would read all lanes for each use of one", () => {
  const mlp: NarrowMlp = { dim: 2, layers: 3, width: 64, activation: "silu", fourier: 0, conditioned: false };
  const info = device({ software: true, description: "llvmpipe", subgroupSize: 8 });
  for (const tangents of [0, 1]) {
    const divergence: DivergenceText = tangents === 0 ? { mode: "none" } : { mode: "exact", perPass: 2 };
    const tiling = chooseTiling(info, 65536, mlp, tangents);
    const { code } = integrateKernel({
      field: { kind: "mlp", ...mlp, texts: narrowTexts },
      tiling,
      stages: 2,
      freeStages: true,
      divergence,
    });
    const types = [...code.matchAll(/var o\d+_\d+_\w+ ?: ?(\w+)/g)].map(([, type]) => type);
    expect(types.length).toBeGreaterThanOrEqual(64 * tiling.lanes);
    expect(new Set(types)).toEqual(new Set(["f32"]));
  }
});
