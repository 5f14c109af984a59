/** A 2-D grid for more workgroups than one dimension allows; kernels linearise it with `num_workgroups.x`. */
export function gridOf(workgroups: number): [number, number] {
  return workgroups <= 65535 ? [Math.max(1, workgroups), 1] : [32768, Math.ceil(workgroups / 32768)];
}
