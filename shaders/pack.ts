import { type Kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Rearranges parameters into a kernel's layout: packed[i] = flat[source[i]], or 0 where source[i] is all ones; with `half` as f16, two in a u32. */
export const packKernel = oncePerShape(
  ({ half }: { half: boolean }): Kernel => ({
    label: half ? "pack weights as f16" : "pack weights",
    entryPoint: "pack",
    bindings: ["params", "read", "read", "write"],
    code: wgsl`
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> flat_weights: array<f32>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> packed: array<${half ? "u32" : "f32"}>;

fn weight(i: u32) -> f32 {
  let from_index = source[i];
  if (from_index == 0xffffffffu) { return 0.0; }
  return flat_weights[from_index];
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) { return; }
#if ${half}
  packed[i] = pack2x16float(vec2f(weight(2u * i), weight(2u * i + 1u)));
#else
  packed[i] = weight(i);
#endif
}
`,
  }),
);
