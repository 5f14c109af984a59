/** Invocations per workgroup of the kernels that have one invocation per sample of a training batch. */
export const batchWorkgroup = 64;
