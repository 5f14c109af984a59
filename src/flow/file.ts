import { PushforwardError } from "../errors.ts";
import { decodeSafetensors, encodeSafetensors } from "../io/safetensors.ts";
import { type MlpVelocity, mlp, parameterTensors } from "../velocity/mlp.ts";
import type { FlowOptions } from "./flow.ts";
import type { Normalization, Source } from "./source.ts";

const metadataKey = "pushforward";

/** What the metadata field `pushforward` holds, as JSON. */
interface FileSpec {
  version: 1;
  velocity: Omit<MlpVelocity, "kind">;
  source: Source;
  normalization?: Normalization;
}

/** Safetensors bytes of a flow: weights under PyTorch's names, everything else in the metadata. */
export function saveFlow(
  velocity: MlpVelocity,
  weights: Record<string, Float32Array>,
  source: Source,
  normalization: Normalization | undefined,
): Uint8Array {
  const { kind: _, ...options } = velocity;
  const spec: FileSpec = { version: 1, velocity: options, source, ...(normalization && { normalization }) };
  const tensors = parameterTensors(velocity).map(({ name, shape }) => {
    return [name, { shape: [...shape], data: weights[name] ?? new Float32Array(0) }] as const;
  });
  return encodeSafetensors(Object.fromEntries(tensors), { [metadataKey]: JSON.stringify(spec), format: "pt" });
}

/** Options that make the flow of a file again. Without metadata of ours, the velocity must be given. */
export function loadFlow(bytes: Uint8Array, velocity: MlpVelocity | undefined): FlowOptions {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const text = metadata[metadataKey];
  if (text === undefined && velocity === undefined) {
    throw new PushforwardError(
      "format",
      `the file has no metadata field "${metadataKey}", so it does not say which network its weights belong to: pass { velocity: mlp({ … }) } to Flow.load`,
    );
  }
  try {
    const spec = text === undefined ? undefined : parseSpec(text);
    const field = velocity ?? mlp(spec?.velocity as Parameters<typeof mlp>[0]);
    for (const { name, shape } of parameterTensors(field)) {
      const found = tensors[name]?.shape;
      if (found && found.join() !== shape.join()) {
        throw new PushforwardError(
          "format",
          `the tensor "${name}" has the shape [${found.join(", ")}], but this network needs [${shape.join(", ")}]`,
        );
      }
    }
    return {
      velocity: field,
      // a checkpoint holds the state of its training beside the weights
      weights: Object.fromEntries(
        Object.entries(tensors)
          .filter(([name]) => !(spec && name.startsWith("training.")))
          .map(([name, { data }]) => [name, data]),
      ),
      ...(spec && { source: spec.source }),
      ...(spec?.normalization && { normalization: spec.normalization }),
    };
  } catch (cause) {
    if (cause instanceof PushforwardError && cause.code === "format") throw cause;
    throw new PushforwardError("format", `the file's metadata does not describe a flow: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function parseSpec(text: string): FileSpec {
  const spec: unknown = JSON.parse(text);
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
