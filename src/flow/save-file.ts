import type { Transform } from "../data/transform.ts";
import { encodeSafetensors, type Tensor } from "../io/safetensors.ts";
import { must } from "../must.ts";
import { mlpOperations } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { type FileSpec, metadataKey } from "./file.ts";
import type { Normalization, Source } from "./source.ts";

/** The tensors of what particles start from. */
const samplesName = "source.samples";
const mixtureNames = { means: "source.means", scales: "source.scales", weights: "source.weights" };

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
    source: namesOf(source),
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  };
  const tensors: [string, Tensor][] = networkOf(velocity).tensors.map(({ name, shape }) => {
    return [name, { shape: [...shape], data: must(weights[name], `the tensor "${name}"`) }];
  });
  const rows = (name: string, data: Float32Array) =>
    tensors.push([name, { shape: [data.length / velocity.dim, velocity.dim], data }]);
  if ("samples" in source) rows(samplesName, source.samples as Float32Array);
  else if (source.distribution === "mixture") {
    const { means, scales, weights = means.map(() => 1) } = source;
    const perAxis = (scale: number | readonly number[]) =>
      typeof scale === "number" ? new Array<number>(velocity.dim).fill(scale) : scale;
    rows(mixtureNames.means, Float32Array.from(means.flat()));
    rows(mixtureNames.scales, Float32Array.from(scales.flatMap(perAxis)));
    tensors.push([mixtureNames.weights, { shape: [weights.length], data: Float32Array.from(weights) }]);
  }
  return encodeSafetensors(Object.fromEntries(tensors), { [metadataKey]: JSON.stringify(spec), format: "pt" });
}

function namesOf(source: Source): FileSpec["source"] {
  if ("samples" in source) return { samples: samplesName };
  return source.distribution === "mixture" ? { distribution: "mixture", tensors: mixtureNames } : source;
}
