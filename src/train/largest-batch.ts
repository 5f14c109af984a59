import { batchWorkgroup } from "../../shaders/batch-workgroup.ts";

/** The most samples of a batch: its kernels take one row of workgroups, and WebGPU promises 65,535 of them. */
export const largestBatch = 65_535 * batchWorkgroup;
