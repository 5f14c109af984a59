import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

/** Rows [n][dim] from outside → state [dim][capacity]; padding particles become zero. With `affine`, of three rows: ((x − mean) − rest of the mean)/scale. */
export const importKernel = oncePerShape(({ affine }: { affine: boolean }) =>
  kernel({
    label: affine ? "import normalized particles" : "import particles",
    entryPoint: "import_particles",
    params: { count: "u32", capacity: "u32", dim: "u32" },
    buffers: { rows: read("array<f32>"), state: write("array<f32>"), affine: affine && read("array<f32>") },
    code: wgsl`
${particle}
fn import_particles${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    var value = 0.0;
    if (p < params.count) { value = rows[p * params.dim + i]; }
#if ${affine}
    value = ((value - affine[i]) - affine[2u * params.dim + i]) / affine[params.dim + i];
#endif
    state[i * params.capacity + p] = value;
  }
}
`,
  }),
);

/** Rows [count][dim] in `rows` → `state` [dim][capacity]. With `affine`, from data units into the flow's own space. */
export function importParticles(o: {
  count: number;
  capacity: number;
  dim: number;
  rows: string;
  state: string;
  affine?: string | undefined;
}): Dispatch {
  const { count, capacity, dim, rows, state, affine } = o;
  return dispatchOf(importKernel({ affine: affine !== undefined }), {
    params: { count, capacity, dim },
    buffers: { rows, state, affine },
    ...perParticle(capacity, dim * 4),
  });
}

/**
 * State [dim][capacity] → rows [n][dim], starting at row `offset` of the output. With `affine`, of three rows:
 * mean + (rest of the mean + scale·x).
 */
export const exportKernel = oncePerShape(({ affine }: { affine: boolean }) =>
  kernel({
    label: affine ? "export particles in data units" : "export particles",
    entryPoint: "export_particles",
    params: { count: "u32", capacity: "u32", dim: "u32", offset: "u32" },
    buffers: { state: read("array<f32>"), rows: write("array<f32>"), affine: affine && read("array<f32>") },
    code: wgsl`
${particle}
fn export_particles${signature} {
  ${index}
  if (p >= params.count) { return; }
  for (var i = 0u; i < params.dim; i++) {
    var value = state[i * params.capacity + p];
#if ${affine}
    value = affine[i] + fma(value, affine[params.dim + i], affine[2u * params.dim + i]);
#endif
    rows[(params.offset + p) * params.dim + i] = value;
  }
}
`,
  }),
);

/** `state` → rows from row `offset` on. */
export function exportParticles(o: {
  count: number;
  capacity: number;
  dim: number;
  state: string;
  rows: string;
  offset?: number;
  affine?: string | undefined;
}): Dispatch {
  const { count, capacity, dim, state, rows, offset = 0, affine } = o;
  return dispatchOf(exportKernel({ affine: affine !== undefined }), {
    params: { count, capacity, dim, offset },
    buffers: { state, rows, affine },
    ...perParticle(count, dim * 4),
  });
}
