import { describe, expect, it } from "vitest";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { read, uniform, write } from "../../shaders/interface.ts";
import { kernel } from "../../shaders/kernel.ts";
import { sizedDispatches } from "../../src/kernels/sized.ts";
import { hasSlowLengths } from "../../src/kernels/tiling.ts";

const copy = (prefix: "" | "pf_" = "") =>
  kernel({
    label: "copy",
    entryPoint: "copy",
    params: { count: "u32" },
    buffers: { weights: uniform("array<vec4f, 4>"), from: read("array<vec4f>"), to: write("array<f32>") },
    prefix,
    code: "@compute @workgroup_size(1) fn copy() {}",
  });

const bytes: Readonly<Record<string, number>> = { w: 64, a: 256, b: 256, small: 128, out: 1000 };
const size = (name: string) => bytes[name] ?? 0;

function dispatch(own: ReturnType<typeof copy>, from: string, offset?: number) {
  return dispatchOf(own, {
    params: { count: 1 },
    buffers: { weights: "w", from, to: "out" },
    ...(offset !== undefined && { offsets: { from: offset } }),
    workgroups: [1],
    flops: 1,
  });
}

const declarations = (code: string) => code.split("\n").slice(2, 5);

describe("lengths of arrays in texts", () => {
  it("are those of the buffers that are bound", () => {
    const own = copy();
    const [a, b] = sizedDispatches([dispatch(own, "a"), dispatch(own, "b")], size);
    expect(declarations(a?.kernel.code ?? "")).toEqual([
      "@group(0) @binding(1) var<uniform> weights: array<vec4f, 4>;",
      "@group(0) @binding(2) var<storage, read> from: array<vec4f, 16>;",
      "@group(0) @binding(3) var<storage, read_write> to: array<f32, 250>;",
    ]);
    expect(b?.kernel).toBe(a?.kernel);
    expect(sizedDispatches([dispatch(own, "b")], size)[0]?.kernel).toBe(a?.kernel);
  });

  it("are left to the buffer where the dispatches of a text differ, which stays one text", () => {
    const own = copy();
    const [a, small] = sizedDispatches([dispatch(own, "a"), dispatch(own, "small")], size);
    expect(small?.kernel).toBe(a?.kernel);
    expect(declarations(a?.kernel.code ?? "").slice(1)).toEqual([
      "@group(0) @binding(2) var<storage, read> from: array<vec4f>;",
      "@group(0) @binding(3) var<storage, read_write> to: array<f32, 250>;",
    ]);
  });

  it("end with the last part of a buffer that is bound in parts", () => {
    const own = copy();
    const all = sizedDispatches([dispatch(own, "a"), dispatch(own, "a", 64), dispatch(own, "a", 128)], size);
    expect(new Set(all.map(({ kernel }) => kernel)).size).toBe(1);
    expect(declarations(all[0]?.kernel.code ?? "")[1]).toBe(
      "@group(0) @binding(2) var<storage, read> from: array<vec4f, 8>;",
    );
  });

  it("are not written into a user's text, and a dispatch without them stays itself", () => {
    const one = dispatch(copy("pf_"), "a");
    expect(sizedDispatches([one], size)[0]).toBe(one);
  });

  it("are for SwiftShader", () => {
    const info = {
      software: true,
      vendor: "google",
      architecture: "swiftshader",
      description: "SwiftShader driver 5.0.0",
    };
    expect(hasSlowLengths(info)).toBe(true);
    expect(hasSlowLengths({ ...info, vendor: "mesa", architecture: "", description: "llvmpipe (LLVM 19)" })).toBe(
      false,
    );
  });
});
