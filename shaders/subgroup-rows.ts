import { write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of the workgroups that are looked at. */
const rowsOfWorkgroup = 256;

/**
 * Counts the invocations whose subgroup has others of another row of `columns` invocations: 0 where a device fills its subgroups in the
 * order of the invocations, which WebGPU leaves open. `size` pins the size of a subgroup.
 */
export const subgroupRowsKernel = oncePerShape(({ columns, size }: { columns: number; size: number | undefined }) =>
  kernel({
    label: "subgroups of rows",
    entryPoint: "count_strangers",
    enable: size === undefined ? ["subgroups"] : ["subgroups", "subgroup_size_control"],
    params: { first: "u32" },
    buffers: { strangers: write("array<atomic<u32>>") },
    code: wgsl`
@compute @workgroup_size(${rowsOfWorkgroup})${size === undefined ? "" : ` @subgroup_size(${size})`}
fn count_strangers(@builtin(local_invocation_index) local: u32) {
  let row = local / ${columns}u;
  if (subgroupBroadcastFirst(row) != row) { atomicAdd(&strangers[params.first], 1u); }
}
`,
  }),
);
