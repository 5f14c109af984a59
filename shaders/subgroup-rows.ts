import { type Kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of the workgroups that are looked at. */
export const rowsOfWorkgroup = 256;

/**
 * Counts the invocations whose subgroup has others of another row of `columns` invocations: 0 where a device fills its subgroups in the
 * order of the invocations, which WebGPU leaves open. `size` pins the size of a subgroup.
 */
export const subgroupRowsKernel = oncePerShape(
  ({ columns, size }: { columns: number; size: number | undefined }): Kernel => ({
    label: "subgroups of rows",
    entryPoint: "count_strangers",
    bindings: ["write"],
    code: wgsl`
enable subgroups;
#if ${size !== undefined}
enable subgroup_size_control;
#endif
@group(0) @binding(0) var<storage, read_write> strangers: array<atomic<u32>>;

@compute @workgroup_size(${rowsOfWorkgroup})${size === undefined ? "" : ` @subgroup_size(${size})`}
fn count_strangers(@builtin(local_invocation_index) local: u32) {
  let row = local / ${columns}u;
  if (subgroupBroadcastFirst(row) != row) { atomicAdd(&strangers[0], 1u); }
}
`,
  }),
);
