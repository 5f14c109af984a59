import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

/** Input rows that stay the same along a trajectory: one-hot class (all zeros for the null class), then context, or zeros without one. */
export const conditionRowsKernel = oncePerShape(({ labels, context }: { labels: boolean; context: boolean }) =>
  kernel({
    label: "condition rows",
    entryPoint: "condition_rows",
    params: { capacity: "u32", count: "u32", row: "u32", classes: "u32", context: "u32" },
    buffers: {
      inputs: write("array<f32>"),
      labels: labels && read("array<u32>"),
      context: context && read("array<f32>"),
    },
    code: wgsl`
${particle}
fn condition_rows${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  let q = min(p, params.count - 1u);
  var label = 0xffffffffu;
#if ${labels}
  label = labels[q];
#endif
  for (var c = 0u; c < params.classes; c++) {
    inputs[(params.row + c) * params.capacity + p] = select(0.0, 1.0, c == label);
  }
#if ${context}
  for (var c = 0u; c < params.context; c++) {
    inputs[(params.row + params.classes + c) * params.capacity + p] = context[q * params.context + c];
  }
#else
  for (var c = 0u; c < params.context; c++) { inputs[(params.row + params.classes + c) * params.capacity + p] = 0.0; }
#endif
}
`,
  }),
);

export function planConditionRows(o: {
  capacity: number;
  count: number;
  row: number;
  classes: number;
  context: number;
  input: string;
  labels?: string | undefined;
  contextRows?: string | undefined;
}): Dispatch {
  const { capacity, count, row, classes, context, input, labels, contextRows } = o;
  return dispatchOf(conditionRowsKernel({ labels: labels !== undefined, context: contextRows !== undefined }), {
    params: { capacity, count, row, classes, context },
    buffers: { inputs: input, labels, context: contextRows },
    ...perParticle(capacity, classes + context),
  });
}
