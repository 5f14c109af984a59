import { expect, test } from "vitest";
import { type PassWork, passKernel, reverseKernel } from "../../shaders/tile-reverse.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { planReverse, reverseSegments, type TileReverse, tileReverse } from "../../src/kernels/tile-reverse.ts";
import { item, must } from "../../src/must.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { tilePasses } from "../../src/train/tile-backward.ts";

const limits = (bytes: number, invocations: number) => ({
  maxComputeWorkgroupStorageSize: bytes,
  maxComputeInvocationsPerWorkgroup: invocations,
});
const made = (hidden: number[], device = limits(32_768, 256)): TileReverse => {
  const found = tileReverse(networkOf(mlp({ dim: 2, hidden })), "matching", undefined, device);
  if (!found) throw new Error(`no tile for ${hidden}`);
  return found;
};
const textOf = ({ network, tiling }: TileReverse) =>
  reverseKernel({ network, tiling, weighted: false, trains: true }).code;

for (const [where, device, hidden] of [
  ["of 16 KiB", limits(16_384, 256), [40, 40]],
  ["of 32 KiB", limits(32_768, 256), [64, 64, 64]],
  ["of 64 KiB and many invocations", limits(65_536, 1024), [128, 128, 128, 128]],
] satisfies [string, ReturnType<typeof limits>, number[]][])
  test(`the tile of a gradient fits workgroups ${where}, in whole rows of 32 invocations`, () => {
    const found = made(hidden, device);
    const { workgroupSize } = found.tiling;
    const [, rows, together, columns] =
      /pf_tile: array<array<array<array<f32, 4>, (\d+)>, (\d+)>, (\d+)>/.exec(textOf(found)) ?? [];
    expect(16 * Number(rows) * Number(together) * Number(columns)).toBeLessThanOrEqual(
      device.maxComputeWorkgroupStorageSize,
    );
    expect(workgroupSize).toBeLessThanOrEqual(device.maxComputeInvocationsPerWorkgroup);
    expect(workgroupSize % 32).toBe(0);
  });

test("the text of a gradient on a tile, and its memory, do not grow with the width or the number of the layers", () => {
  // in layers narrower than 48 an invocation has fewer sums of a gradient
  const [narrow, wide] = [textOf(made([48, 48])), textOf(made([64, 64]))];
  expect(wide.length).toBeLessThan(1.1 * narrow.length);
  const rows = (text: string) => 4 * Number(/pf_tile: array<array<array<array<f32, 4>, (\d+)>/.exec(text)?.[1]);
  expect(rows(wide)).toBeGreaterThan(128);
  expect(rows(textOf(made([64, 64, 64, 64, 64])))).toBe(rows(wide));
});

test("the text of residual blocks on a tile hardly grows with their number, for gradients and the passes of a likelihood", () => {
  const device = limits(65_536, 1024);
  const textFor = (blocks: number, work: "matching" | PassWork) => {
    const network = networkOf(residualMlp({ dim: 2, width: 64, blocks }));
    const found = must(tileReverse(network, work, { columns: 32, wave: 32 }, device), "a tile");
    const shape = { network: found.network, tiling: found.tiling };
    const made =
      typeof work === "string"
        ? reverseKernel({ ...shape, weighted: false, trains: true })
        : passKernel({ ...shape, work });
    return made.code.length;
  };
  for (const work of ["matching", { tangents: 1, kind: "basis" }] as const)
    expect(textFor(12, work)).toBeLessThan(1.3 * textFor(4, work));
});

test("a gradient on tiles is summed in the same segments, whatever a device can do at a time", () => {
  const found = made([64, 64]);
  for (const capacity of [64, 640, 4096, 131_072]) {
    const { tiles, each, segments } = reverseSegments(found, capacity);
    expect(segments * each).toBeGreaterThanOrEqual(tiles);
    expect((segments - 1) * each).toBeLessThan(tiles);
    const batch = { capacity, count: capacity, weighted: false };
    const whole = planReverse(found, "weights", { ...batch, maxFlops: 1e15 }, true);
    const parts = planReverse(found, "weights", { ...batch, maxFlops: (3 * item(whole, 0).flops) / segments }, true);
    expect(whole.length).toBe(1);
    expect(parts.map(({ params }) => params.segment)).toEqual(
      Array.from({ length: Math.ceil(segments / 3) }, (_, i) => 3 * i),
    );
    expect(parts.reduce((sum, { workgroups }) => sum + workgroups[0], 0)).toBe(segments);
  }
});

test("a likelihood's pass is one dispatch on a tile, of as many tangents as a GPU has memory for", () => {
  const gpu = (bytes: number) => ({ device: { limits: limits(bytes, 1024) } }) as unknown as Gpu;
  const passes = (hidden: number[], count: number, kind: "basis" | "matrix", bytes = 65_536, penalised = false) =>
    tilePasses(gpu(bytes), networkOf(mlp({ dim: 2, hidden })), { columns: 32, wave: 32 }, { count, kind }, penalised);
  const batch = { capacity: 640, count: 611, maxFlops: 1e15 };
  const names = { cotangent: "kappa", xbar: "eta", begin: true, penalty: undefined };
  const found = must(passes([64, 64, 64], 3, "basis"), "passes");
  expect(found.mostTangents).toBe(3);
  expect(found.pass(batch, { ...names, tangents: { count: 3, first: 0, weight: 1 } }).length).toBe(1);
  expect(found.pass(batch, { ...names, tangents: { count: 0, first: 0, weight: 0 } }).length).toBe(1);
  const tangents = { count: 3, first: 0, weight: 1 };
  const penalised = must(passes([64, 64, 64], 3, "basis", 65_536, true), "passes with penalties");
  expect(penalised.pass(batch, { ...names, tangents, penalty: { energy: 1, jacobian: 1 } }).length).toBe(1);
  expect(found.velocity(batch, "stage 0").length).toBe(1);
  const few = must(passes([64, 64, 64], 3, "basis", 20_480), "passes");
  expect(few.mostTangents).toBe(2);
  expect(passes([64, 64, 64], 2, "matrix")?.mostTangents).toBe(2);
  expect(passes([129], 1, "basis")).toBeUndefined();
  expect(passes([64, 64, 64], 2, "matrix", 8192)).toBeUndefined();
  // stages that differ by numbers alone are turns of a loop
  expect(passes([16, 16, 16, 16, 16, 16, 16, 16], 1, "basis")?.mostTangents).toBe(1);
});

test("a likelihood's passes go layer by layer where too many stages have a text of their own", () => {
  const passOf = (hidden: number[]) =>
    tileReverse(networkOf(mlp({ dim: 2, hidden })), { tangents: 1, kind: "basis" }, undefined, limits(65_536, 1024));
  const layers = Array.from({ length: 26 }, (_, i) => 8 + i);
  expect(passOf(layers)).toBeUndefined();
  expect(passOf(layers.map(() => 33))).toBeDefined();
});

test("gradients of what does not fit a tile go layer by layer", () => {
  const none = (options: Parameters<typeof mlp>[0], device = limits(32_768, 256)) => {
    for (const work of ["matching", "product"] as const)
      expect(tileReverse(networkOf(mlp(options)), work, undefined, device)).toBeUndefined();
  };
  none({ dim: 17, hidden: [16] });
  none({ dim: 2, hidden: [129] });
  none({ dim: 2, hidden: [64] }, limits(2048, 256));
});
