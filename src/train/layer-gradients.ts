import type { GpuInfo } from "../gpu/adapter.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { gradientCopies, planWeightGradient } from "../kernels/weight-gradient.ts";
import { layerSizes, type MlpVelocity, parameterCount, parameterTensors, timeInputs } from "../velocity/mlp.ts";
import type { Batch } from "./backward.ts";

/** Where the cotangents and the inputs of every layer lie, layer 0 first; for layers that have them. */
export interface LayerRows {
  readonly cotangents: { readonly name: string; readonly row: number };
  readonly activations: { readonly name: string; readonly row: number };
}

/** Weight and bias gradients of all layers into "partials", in the flat order of the parameters. */
export function planWeightGradients(o: {
  info: GpuInfo;
  velocity: MlpVelocity;
  batch: Batch;
  /** Row length and its part that holds values, in vectors of four particles. */
  vectors: number;
  values: number;
  begin: boolean;
  layers: readonly LayerRows[];
}): Dispatch[] {
  const { velocity, info } = o;
  const sizes = layerSizes(velocity);
  const tensors = parameterTensors(velocity);
  const count = parameterCount(velocity);
  const swap = velocity.inputOrder === "t,x" ? { x: velocity.dim, time: timeInputs(velocity) } : undefined;
  return o.layers.flatMap((rows, l) =>
    planWeightGradient(
      {
        inputs: sizes[l] ?? 0,
        outputs: sizes[l + 1] ?? 0,
        weightOffset: tensors[2 * l]?.offset ?? 0,
        biasOffset: tensors[2 * l + 1]?.offset ?? 0,
        parameterCount: count,
        swap: l === 0 ? swap : undefined,
        vectors: o.vectors,
        values: o.values,
        copies: gradientCopies(info, o.batch.capacity, count),
        accumulate: !o.begin,
        ...rows,
      },
      info,
      o.batch.maxFlops,
    ),
  );
}
