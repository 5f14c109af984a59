import { partialStride } from "../../shaders/optimizer.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import {
  gradientCopies,
  planWeightGradient,
  type SourceRows,
  type WeightGradientCall,
} from "../kernels/weight-gradient.ts";
import { item } from "../must.ts";
import type { Network } from "../network/network.ts";
import type { Batch } from "./backward.ts";

/** The gradient of a matrix (or of some of its columns) and its bias, or of a vector, from cotangents and inputs. */
interface LayerGradient {
  readonly outputs: number;
  /** Columns `from` … `from` + `inputs` − 1 of a matrix, and what they were multiplied with. */
  readonly matrix?: {
    readonly tensor: string;
    readonly from: number;
    readonly inputs: number;
    readonly of: SourceRows;
  };
  /** A bias or another vector, whose gradient is the sum of the cotangents. */
  readonly vector?: string | undefined;
  readonly cotangents: SourceRows;
}

/** Gradients of parameters, from rows of `vectors` of four particles, of which the first `values` are no tangents, into "partials", in the flat order of the parameters. */
export function planLayerGradient(
  o: {
    info: GpuInfo;
    network: Network;
    batch: Batch;
    vectors: number;
    values: number;
    sources: NonNullable<WeightGradientCall["sources"]>;
    sum: WeightGradientCall["sum"];
  },
  layer: LayerGradient,
): Dispatch[] {
  const { network, info } = o;
  const tensorOf = (name: string) => {
    const tensor = network.tensors.find((tensor) => tensor.name === name);
    if (!tensor) throw new Error(`the network has no tensor "${name}"`);
    return tensor;
  };
  const { matrix, vector, outputs, cotangents } = layer;
  const weights = matrix && tensorOf(matrix.tensor);
  return planWeightGradient(
    {
      inputs: matrix?.inputs ?? 1,
      outputs,
      widest: Math.max(...network.tensors.map(({ shape: [, inputs = 1] }) => inputs)),
      weights: weights && matrix && { offset: weights.offset + matrix.from, rowLength: item(weights.shape, 1) },
      biasOffset: vector === undefined ? undefined : tensorOf(vector).offset,
      stride: partialStride(network.parameterCount),
      vectors: o.vectors,
      values: o.values,
      copies: gradientCopies(info, o.batch.capacity, network.parameterCount),
      sum: o.sum,
      sources: o.sources,
      cotangents,
      // a vector has no inputs: whatever is read here is not used
      activations: matrix?.of ?? cotangents,
    },
    info,
    o.batch.maxFlops,
  );
}
