import { batchWorkgroup } from "./batch-workgroup.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { sample, signature } from "./flow-matching.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Residual r = u − target: squares [capacity] = w Σ_i r_i² and ubar = 2 w r/(n dim), the gradient of the mean square; weights w are
 * 1, or the row behind the targets. Padding counts nothing.
 */
export const residualKernel = oncePerShape(({ weighted }: { readonly weighted: boolean }) =>
  kernel({
    label: "flow-matching residual",
    entryPoint: "residual",
    params: { capacity: "u32", dim: "u32", count: "u32", scale: "f32" },
    buffers: {
      velocity: read("array<f32>"),
      targets: read("array<f32>"),
      cotangent: write("array<f32>"),
      squares: write("array<f32>"),
    },
    code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn residual${signature} {
  ${sample}
  var sum = 0.0;
  let weight = ${weighted ? "targets[params.dim * params.capacity + p]" : "1.0"};
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    let r = select(0.0, velocity[at] - targets[at], p < params.count);
    cotangent[at] = params.scale * (weight * r);
    sum = fma(r, r, sum);
  }
  squares[p] = weight * sum;
}
`,
  }),
);

/** Residuals of "u" against "target" into "ubar" and "squares". */
export function planResidual(o: { dim: number; capacity: number; count: number; weighted: boolean }): Dispatch {
  const { dim, capacity, count, weighted } = o;
  return dispatchOf(residualKernel({ weighted }), {
    params: { capacity, dim, count, scale: 2 / (count * dim) },
    buffers: { velocity: "u", targets: "target", cotangent: "ubar", squares: "squares" },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * 4 * dim,
  });
}
