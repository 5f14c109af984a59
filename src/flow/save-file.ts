import type { Transform } from "../data/transform.ts";
import { encodeSafetensors, type Tensor } from "../io/safetensors.ts";
import { must } from "../must.ts";
import { mlpOperations } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { type FileSpec, metadataKey } from "./file.ts";
import type { KeptSource, Normalization } from "./source.ts";

/** The tensors of what particles start from. */
const samplesName = "source.samples";
const mixtureNames = { means: "source.means", scales: "source.scales", weights: "source.weights" };

/** Safetensors bytes of a flow: weights under PyTorch's names, everything else in the metadata. */
export function saveFlow(
  velocity: TrainableVelocity,
  weights: Record<string, Float32Array>,
  source: KeptSource,
  normalization: Normalization | undefined,
  transform?: Transform | undefined,
): Uint8Array {
  const { kind: _, ...options } = velocity;
  const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
  const spec: FileSpec = {
    version: 1,
    velocity: { ...options, operations },
    source: namesOf(source),
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  };
  const tensors: [string, Tensor][] = networkOf(velocity).tensors.map(({ name, shape }) => {
    return [name, { shape: [...shape], data: must(weights[name], `the tensor "${name}"`) }];
  });
  const rows = (name: string, data: Float32Array) =>
    tensors.push([name, { shape: [data.length / velocity.dim, velocity.dim], data }]);
  if ("samples" in source) rows(samplesName, source.samples);
  else if (source.distribution === "mixture") {
    rows(mixtureNames.means, Float32Array.from(source.means.flat()));
    rows(mixtureNames.scales, Float32Array.from(source.scales.flat()));
    const shares = Float32Array.from(source.weights);
    tensors.push([mixtureNames.weights, { shape: [shares.length], data: shares }]);
  }
  return encodeSafetensors(Object.fromEntries(tensors), { [metadataKey]: JSON.stringify(spec), format: "pt" });
}

function namesOf(source: KeptSource): FileSpec["source"] {
  if ("samples" in source) return { samples: samplesName };
  return source.distribution === "mixture" ? { distribution: "mixture", tensors: mixtureNames } : source;
}
