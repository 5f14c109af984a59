import { batchWorkgroup } from "./batch-workgroup.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { pathRow, sample, signature } from "./flow-matching.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/**
 * The batch of flow-matching.ts from given x_0, x_1 ([n][dim]) and t ([n]), on the straight path or, with `path`, on one whose coefficients are given for
 * each sample, and with `weighted` from weights [n] of the loss; padding repeats the last sample. A bridge has the noise of each sample in
 * `noise`, [n][dim], and behind it by what that counts in x_t and in the target, [n][2].
 */
export const givenBatchKernel = oncePerShape(
  ({ path, weighted, bridge }: { readonly path: boolean; readonly weighted: boolean; readonly bridge: boolean }) =>
    kernel({
      label: "given flow-matching batch",
      entryPoint: "given_batch",
      params: { capacity: "u32", dim: "u32", count: "u32" },
      buffers: {
        starts: read("array<f32>"),
        ends: read("array<f32>"),
        times: read("array<f32>"),
        inputs: write("array<f32>"),
        targets: write("array<f32>"),
        coefficients: path && read("array<vec4f>"),
        weights: weighted && read("array<f32>"),
        noise: bridge && read("array<f32>"),
      },
      code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn given_batch${signature} {
  ${sample}
  let q = min(p, params.count - 1u);
  let time = times[q];
#if ${path}
  let path = coefficients[q];
#endif
#if ${bridge}
  let amounts = params.count * params.dim + 2u * q;
#endif
  for (var i = 0u; i < params.dim; i++) {
    let start = starts[q * params.dim + i];
    let end = ends[q * params.dim + i];
    ${pathRow(path, bridge ? givenNoise : undefined)}
  }
  inputs[params.dim * params.capacity + p] = time;
#if ${weighted}
  targets[params.dim * params.capacity + p] = weights[q];
#endif
}
`,
    }),
);

const givenNoise = { spread: "noise[amounts]", rate: "noise[amounts + 1u]", z: "noise[q * params.dim + i]" };

/** Input rows and targets from given x_0, x_1 and t. */
export function planGivenBatch(o: {
  velocity: { readonly dim: number };
  capacity: number;
  count: number;
  names: {
    starts: string;
    ends: string;
    times: string;
    path?: string | undefined;
    weights?: string | undefined;
    noise?: string | undefined;
  };
}): Dispatch {
  const { starts, ends, times, path, weights, noise } = o.names;
  const { capacity, count } = o;
  const { dim } = o.velocity;
  return dispatchOf(
    givenBatchKernel({ path: path !== undefined, weighted: weights !== undefined, bridge: noise !== undefined }),
    {
      params: { capacity, dim, count },
      buffers: { starts, ends, times, inputs: "h0", targets: "target", coefficients: path, weights, noise },
      workgroups: [Math.ceil(capacity / batchWorkgroup)],
      flops: capacity * 6 * dim,
    },
  );
}
