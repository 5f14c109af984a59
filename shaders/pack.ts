import { type Dispatch, dispatchOf, gridOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Rearranges parameters into a kernel's layout: packed[i] = flat[source[i]], or 0 where source[i] is all ones; with `half` as f16, two in a u32. */
export const packKernel = oncePerShape(({ half }: { half: boolean }) =>
  kernel({
    label: half ? "pack weights as f16" : "pack weights",
    entryPoint: "pack",
    params: { count: "u32" },
    buffers: {
      flat_weights: read("array<f32>"),
      source: read("array<u32>"),
      packed: write(`array<${half ? "u32" : "f32"}>`),
    },
    code: wgsl`
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

/** Dispatch that fills `count` words of buffer `to` from the flat parameters in buffer `from` by the map in buffer `map`. */
export function packDispatch(count: number, names: { from: string; map: string; to: string }, half = false): Dispatch {
  return dispatchOf(packKernel({ half }), {
    params: { count },
    buffers: { flat_weights: names.from, source: names.map, packed: names.to },
    workgroups: gridOf(Math.ceil(count / 64)),
    flops: 4 * count,
  });
}
