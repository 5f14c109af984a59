import type { Transform } from "../data/transform.ts";
import { encodeSafetensors, type Tensor } from "../io/safetensors.ts";
import { must } from "../must.ts";
import { mlpOperations } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { type FileSpec, metadataKey } from "./file.ts";
import type { Normalization, Source } from "./source.ts";

/** The tensor of samples that particles start from. */
const samplesName = "source.samples";

/** Safetensors bytes of a flow: weights under PyTorch's names, everything else in the metadata. */
export function saveFlow(
  velocity: TrainableVelocity,
  weights: Record<string, Float32Array>,
  source: Source,
  normalization: Normalization | undefined,
  transform?: Transform | undefined,
): Uint8Array {
  const { kind: _, ...options } = velocity;
  const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
  const spec: FileSpec = {
    version: 1,
    velocity: { ...options, operations },
    source: "samples" in source ? { samples: samplesName } : source,
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  };
  const tensors: [string, Tensor][] = networkOf(velocity).tensors.map(({ name, shape }) => {
    return [name, { shape: [...shape], data: must(weights[name], `the tensor "${name}"`) }];
  });
  if ("samples" in source) {
    const data = source.samples as Float32Array;
    tensors.push([samplesName, { shape: [data.length / velocity.dim, velocity.dim], data }]);
  }
  return encodeSafetensors(Object.fromEntries(tensors), { [metadataKey]: JSON.stringify(spec), format: "pt" });
}
