import type { Kernel } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Rearranges parameters into a kernel's layout: packed[i] = flat[source[i]], or 0 where source[i] is all ones. */
export const packKernel: Kernel = {
  label: "pack weights",
  entryPoint: "pack",
  bindings: ["params", "read", "read", "write"],
  code: wgsl`
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> flat_weights: array<f32>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) { return; }
  let from_index = source[i];
  if (from_index == 0xffffffffu) { packed[i] = 0.0; } else { packed[i] = flat_weights[from_index]; }
}
`,
};
