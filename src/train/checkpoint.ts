import { invalid, PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { saveFlow } from "../flow/save-file.ts";
import { decodeSafetensors, encodeSafetensors, type TensorFile } from "../io/safetensors.ts";
import { sha256 } from "../io/sha256.ts";
import { item, must } from "../must.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { unflatten } from "../velocity/parameters.ts";
import type { Best } from "./best.ts";
import { differences, type Fingerprint } from "./fingerprint.ts";

/** All that a training needs to go on: after `step` steps, the parameters and what belongs to them, flat. */
export interface TrainingState {
  readonly step: number;
  /** Steps whose losses are summed in `loss`. */
  readonly sinceLog: number;
  readonly loss: number;
  readonly weights: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly average: Float32Array | undefined;
  readonly best: Best | undefined;
}

const metadataKey = "pushforward.training";
const digestKey = "pushforward.training.sha256";
/** Names of what is not in a file of a flow begin with this: `Flow.load` passes over them. */
const prefix = "training.";
const parts = ["weights", "first", "second"] as const;

/** What the metadata field `pushforward.training` holds, as JSON. */
interface CheckpointSpec {
  version: 1;
  step: number;
  sinceLog: number;
  settings: Fingerprint;
  /** NaN is null. With `isKept` the flow of the file has the best weights, and the moving average is among the training's own tensors. */
  best?: Omit<Best, "weights" | "validationLoss"> & { validationLoss: number | null; isKept: boolean };
}

/**
 * The safetensors bytes of a checkpoint: a flow's file with the weights that the training would end with (the best ones or the moving
 * average where there are such), and under names with "training." the trained weights, the optimiser's moments and the losses since the
 * last log.
 */
export async function encodeCheckpoint(
  flow: Flow,
  velocity: TrainableVelocity,
  settings: Fingerprint,
  state: TrainingState,
): Promise<Uint8Array> {
  const { tensors: named } = flow.parameters;
  const { best } = state;
  const evaluated = unflatten(named, best?.weights ?? state.average ?? state.weights);
  const { tensors, metadata } = decodeSafetensors(
    saveFlow(velocity, evaluated, flow.source.options, flow.normalization, flow.transform),
  );
  for (const part of [...parts, ...(best?.weights ? (["average"] as const) : [])]) {
    const flat = state[part];
    if (!flat) continue;
    const values = unflatten(named, flat);
    for (const { name, shape } of named)
      tensors[`${prefix}${part}.${name}`] = { shape, data: must(values[name], `the tensor "${name}"`) };
  }
  tensors[`${prefix}loss`] = { shape: [1], data: Float32Array.of(state.loss) };
  const spec: CheckpointSpec = { version: 1, step: state.step, sinceLog: state.sinceLog, settings };
  if (best) {
    const { weights, ...own } = best;
    spec.best = { ...own, isKept: weights !== undefined };
  }
  metadata[metadataKey] = JSON.stringify(spec);
  metadata[digestKey] = await digestOf({ tensors, metadata });
  return encodeSafetensors(tensors, metadata);
}

/** Over everything that a resumed training takes from the file; other metadata may be added to it. */
function digestOf({ tensors, metadata }: Pick<TensorFile, "tensors" | "metadata">): Promise<string> {
  return sha256(encodeSafetensors(tensors, { [metadataKey]: must(metadata[metadataKey], metadataKey) }));
}

/**
 * The state in a checkpoint, for a training that would have had the same bits; nothing has been changed when it throws.
 * `settingsAt` gives the fingerprint of a training that has done so many steps.
 */
export async function decodeCheckpoint(
  what: string,
  flow: Flow,
  bytes: Uint8Array,
  steps: number,
  settingsAt: (step: number) => Fingerprint,
): Promise<TrainingState> {
  const file = decodeSafetensors(bytes);
  const { tensors, metadata } = file;
  const text = metadata[metadataKey];
  if (text === undefined) {
    throw fault(
      `${what}: resume has no metadata field "${metadataKey}", so it is no checkpoint: pass bytes that checkpoint.save was given (weights alone go to Flow.load)`,
    );
  }
  if ((await digestOf(file)) !== metadata[digestKey]) {
    throw fault(
      `${what}: resume is damaged, its content does not give the SHA-256 that it holds: use an older checkpoint`,
    );
  }
  const { version, step, sinceLog, settings, best } = JSON.parse(text) as CheckpointSpec;
  if (version !== 1)
    throw fault(`${what}: resume is a checkpoint of version ${version}, but this library reads 1: update pushforward`);
  const found = differences(settings, settingsAt(step));
  if (found.length > 0) {
    throw invalid(
      `${what}: resume is a checkpoint of another training: ${found.join("; ")}. Resume with what it was made with, or load its weights with Flow.load and start anew`,
    );
  }
  if (steps < step) {
    throw invalid(
      `${what}: resume has done ${step} steps, but steps is ${steps}: steps count from the very start, so pass at least ${step}`,
    );
  }
  const { tensors: named, count } = flow.parameters;
  const held = (name: string): Float32Array => {
    const tensor = tensors[name];
    if (!tensor) throw fault(`${what}: resume has no tensor "${name}", so it is no checkpoint of this flow`);
    return tensor.data;
  };
  const flat = (start: string) => {
    const values = new Float32Array(count);
    for (const { name, offset } of named) values.set(held(start + name), offset);
    return values;
  };
  const ownAverage = `${prefix}average.`;
  const hasOwnAverage = named.some(({ name }) => ownAverage + name in tensors);
  const average = best?.isKept ? (hasOwnAverage ? flat(ownAverage) : undefined) : flat("");
  return {
    step,
    sinceLog,
    loss: item(held(`${prefix}loss`), 0),
    weights: flat(`${prefix}weights.`),
    first: flat(`${prefix}first.`),
    second: flat(`${prefix}second.`),
    average,
    best: best && {
      step: best.step,
      validationLoss: best.validationLoss ?? Number.NaN,
      judged: best.judged,
      since: best.since,
      weights: best.isKept ? flat("") : undefined,
    },
  };
}

function fault(message: string): PushforwardError {
  return new PushforwardError("format", message);
}
