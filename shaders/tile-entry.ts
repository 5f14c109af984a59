import { remainder } from "./tile-memory.ts";
import { type Tiling, tileSizes } from "./tiling.ts";

/** The extensions of WGSL that a tile's kernel needs. */
export const tileExtensions = ({ wave, half, matrices }: Tiling): string[] => [
  ...(half ? ["f16"] : []),
  ...(wave === undefined ? [] : ["subgroups"]),
  ...(typeof wave === "number" ? ["subgroup_size_control"] : []),
  ...(matrices ? ["chromium_experimental_subgroup_matrix"] : []),
];

/**
 * The entry point of a kernel in which a workgroup has a tile of particles: an invocation has the column `q` and of its blocks `jb`.
 * `first` stands before all else: the builtins are called pf_local, pf_group and pf_groups.
 */
export function tileEntry(tiling: Tiling, entryPoint: string, first: string, body: string): string {
  const { columns } = tileSizes(tiling);
  const { wave, workgroupSize, matrices } = tiling;
  // products of matrices are for whole subgroups: compilers must know that the block is theirs
  const block = matrices ? "pf_subgroup" : `pf_local / ${columns}u`;
  return `@compute @workgroup_size(${workgroupSize})${typeof wave === "number" ? ` @subgroup_size(${wave})` : ""}
fn ${entryPoint}(
  @builtin(local_invocation_index) pf_local: u32,
  @builtin(workgroup_id) pf_group: vec3u,
  @builtin(num_workgroups) pf_groups: vec3u,${matrices ? "\n  @builtin(subgroup_id) pf_subgroup: u32," : ""}
) {
${first}let q = ${remainder("pf_local", columns)};
// where a column is whole subgroups, their invocations have one block
let jb = ${wave === undefined || matrices ? block : `subgroupBroadcastFirst(${block})`};
${body}
}
`;
}
