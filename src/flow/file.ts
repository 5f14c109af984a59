import { checkTransform, circularAxes, type Transform } from "../data/transform.ts";
import { PushforwardError } from "../errors.ts";
import { decodeSafetensors, type Tensor } from "../io/safetensors.ts";
import { findTensors, type TensorNames } from "../io/tensor-names.ts";
import { must } from "../must.ts";
import { type MlpVelocity, mlp } from "../network/mlp.ts";
import { checkSizes } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import type { Operation } from "../network/operations/rule.ts";
import { frozenCopy } from "../options/frozen.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { flatten } from "../velocity/parameters.ts";
import type { FlowOptions } from "./shape.ts";
import { checkNormalization, type Normalization, type Source, sourceSpec } from "./source.ts";

export const metadataKey = "pushforward";

/** What the metadata field `pushforward` holds, as JSON. */
export interface FileSpec {
  version: 1;
  /** The sizes and the operations of the network; what `mlp` was given stands beside them. */
  velocity: Partial<Omit<MlpVelocity, "kind">> & { dim: number; operations?: readonly Operation[] };
  /** Samples, and the numbers of a mixture, are the tensors that they name; older files have a mixture's as lists. */
  source: Exclude<Source, { samples: unknown }> | { samples: string } | MixtureTensors;
  normalization?: Normalization;
  transform?: Transform;
}

/** The tensors of a mixture of K Gaussians: means and scales [K, dim], weights [K]. */
interface MixtureTensors {
  distribution: "mixture";
  tensors: Record<"means" | "scales" | "weights", string>;
}

/** How a file is read whose tensors have names of their own. */
export interface LoadOptions {
  /** The network that the weights belong to, for files that do not say it. */
  velocity?: TrainableVelocity;
  /**
   * What the file calls this network's tensors, ours → theirs, as a record or a function. Without it they have our names, perhaps
   * behind one prefix such as `module.` or `_orig_mod.`.
   */
  tensors?: TensorNames;
  /** Told what was done without being asked for: a prefix that was left out, say. */
  onNotice?: (text: string) => void;
}

/** Options that make a flow of a network again. */
export interface LoadedFlow extends FlowOptions {
  velocity: TrainableVelocity;
}

/**
 * Options that make the flow of a file again. Without metadata of ours, the velocity must be given.
 *
 * @throws PushforwardError `format` for whatever is wrong with the file.
 */
export function loadFlow(bytes: Uint8Array, { velocity, tensors: names, onNotice }: LoadOptions = {}): LoadedFlow {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const text = metadata[metadataKey];
  if (text === undefined && velocity === undefined) {
    throw new PushforwardError(
      "format",
      `the file has no metadata field "${metadataKey}", so it does not say which network its weights belong to: pass { velocity: mlp({ … }) } to Flow.load`,
    );
  }
  let thrown: { readonly error: unknown } | undefined;
  /** What the caller's function throws is the caller's own, and nothing that the file has done. */
  const namesOf =
    typeof names !== "function"
      ? names
      : (ours: string) => {
          try {
            return names(ours);
          } catch (error) {
            thrown = { error };
            throw error;
          }
        };
  try {
    const spec = text === undefined ? undefined : parseSpec(text);
    const field = velocity ?? velocityOf(spec as FileSpec);
    const wanted = networkOf(field).tensors;
    const weights = findTensors(wanted, tensors, namesOf, (notice) => onNotice?.(notice));
    flatten(wanted, weights);
    const source = spec && sourceOf(spec, tensors);
    const transform = spec?.transform && checkTransform(spec.transform, field.dim);
    const circular = circularAxes(transform);
    sourceSpec(source, field.dim, circular);
    const normalization = spec?.normalization && checkNormalization(spec.normalization, field.dim, circular);
    return {
      velocity: field,
      weights,
      ...(source && { source }),
      ...(normalization && { normalization }),
      ...(transform && { transform }),
    };
  } catch (cause) {
    if (thrown) throw thrown.error;
    if (cause instanceof PushforwardError && cause.code === "format") throw cause;
    throw new PushforwardError("format", `the file does not hold a flow: ${(cause as Error).message}`, { cause });
  }
}

/** An MLP is told by its options, which older files have alone; any other network by its operations. */
function velocityOf({ velocity: { operations, ...options } }: FileSpec): TrainableVelocity {
  if (options.hidden !== undefined || operations === undefined) return mlp(options as Parameters<typeof mlp>[0]);
  return Object.freeze({ kind: "network", ...checkSizes("network", options), operations: frozenCopy(operations) });
}

function sourceOf({ source, velocity: { dim } }: FileSpec, tensors: Readonly<Record<string, Tensor>>): Source {
  const dataOf = (name: string) => must(tensors[name], `the tensor "${name}"`).data;
  if ("samples" in source) return { samples: dataOf(source.samples) };
  if (!("tensors" in source)) return source;
  const { means, scales, weights } = source.tensors;
  return {
    distribution: "mixture",
    means: rowsOf(dataOf(means)),
    scales: rowsOf(dataOf(scales)),
    weights: [...dataOf(weights)],
  };

  // a last row that is short is refused with all other sources
  function rowsOf(data: Float32Array): number[][] {
    return Array.from({ length: Math.ceil(data.length / dim) }, (_, k) => [...data.subarray(k * dim, (k + 1) * dim)]);
  }
}

function parseSpec(text: string): FileSpec {
  let spec: unknown;
  try {
    spec = JSON.parse(text);
  } catch {
    throw new PushforwardError("format", `the metadata field "${metadataKey}" is no JSON: the file is damaged`);
  }
  if (typeof spec !== "object" || spec === null || !("velocity" in spec)) {
    throw new PushforwardError(
      "format",
      `the metadata field "${metadataKey}" holds no velocity: the file was written by something else`,
    );
  }
  const { version } = spec as { version?: unknown };
  if (version !== 1) {
    throw new PushforwardError(
      "format",
      `the file is of version ${String(version)}, but this library reads version 1: update pushforward`,
    );
  }
  return spec as FileSpec;
}
