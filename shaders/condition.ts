import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

/**
 * What class and context add to the first layer, per particle: offsets [branch][width][capacity] =
 * b_1 + W_1[:, label] + W_1[:, context]·context. Reads the flat parameters; rows beyond the layer's own width are zero.
 * Branch 0 is the null class when there are two, else the particle's label. A label of all ones is the null class.
 */
export const conditionKernel = oncePerShape(({ labels, context }: { labels: boolean; context: boolean }) =>
  kernel({
    label: "condition the first layer",
    entryPoint: "condition",
    params: {
      count: "u32",
      capacity: "u32",
      width: "u32",
      units: "u32",
      inputs: "u32",
      column: "u32",
      classes: "u32",
      context: "u32",
      branch: "u32",
      null_class: "u32",
    },
    buffers: {
      flat_weights: read("array<f32>"),
      offsets: write("array<f32>"),
      labels: labels && read("array<u32>"),
      context: context && read("array<f32>"),
    },
    code: wgsl`
${particle}
fn condition${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  let q = min(p, params.count - 1u);
  var label = 0xffffffffu;
#if ${labels}
  if (params.null_class == 0u) { label = labels[q]; }
#endif
  for (var j = 0u; j < params.width; j++) {
    var sum = 0.0;
    if (j < params.units) {
      let row = j * params.inputs + params.column;
      sum = flat_weights[params.units * params.inputs + j];
      if (label < params.classes) { sum += flat_weights[row + label]; }
#if ${context}
      for (var c = 0u; c < params.context; c++) {
        sum = fma(flat_weights[row + params.classes + c], context[q * params.context + c], sum);
      }
#endif
    }
    offsets[(params.branch * params.width + j) * params.capacity + p] = sum;
  }
}
`,
  }),
);

/** Dispatch that fills one branch of the per-particle offsets of the first layer from class labels and context. */
export function planCondition(o: {
  count: number;
  capacity: number;
  width: number;
  units: number;
  inputs: number;
  column: number;
  classes: number;
  context: number;
  branch: number;
  nullClass: boolean;
  names: { parameters: string; offsets: string; labels?: string | undefined; context?: string | undefined };
}): Dispatch {
  const { names, nullClass, ...numbers } = o;
  const { parameters, offsets, labels, context } = names;
  return dispatchOf(conditionKernel({ labels: labels !== undefined, context: context !== undefined }), {
    params: { ...numbers, null_class: nullClass ? 1 : 0 },
    buffers: { flat_weights: parameters, offsets, labels, context },
    ...perParticle(o.capacity, o.width * (2 + 2 * o.context)),
  });
}
