import { readable } from "../arrays.ts";
import { circularAxes, type Transform } from "../data/transform.ts";
import { invalid } from "../errors.ts";
import { loadFlow } from "../flow/file.ts";
import { Flow } from "../flow/flow.ts";
import type { FlowShape } from "../flow/shape.ts";
import { checkNormalization, type Normalization, type Source, sourceSpec } from "../flow/source.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { sha256 } from "../io/sha256.ts";
import { show } from "../options.ts";
import { wgslVelocity } from "../velocity/wgsl.ts";
import { type Arrays, pack, unpack } from "./parcel.ts";

/** A flow on its way to workers: its parcel, the name of that, and what checks of options need to know of it. */
export interface CarriedFlow {
  readonly hash: string;
  readonly parcel: Uint8Array;
  readonly shape: FlowShape;
}

/** A flow on a worker's device, and the score by which it is sampled with noise, where that is a flow of its own. */
export interface LoadedFlow {
  readonly flow: Flow;
  readonly score: Flow | undefined;
}

/**
 * What the head of a flow's parcel says: a file of {@link Flow.save} is beside it, or closed-form WGSL is in it, or two parcels, of a flow
 * and of the score.
 */
type FlowHead =
  | { kind: "file" }
  | { kind: "with score" }
  | { kind: "wgsl"; dim: number; code: string; source?: Source; normalization?: Normalization; transform?: Transform };

/** A flow or its file, made ready to travel, with a score beside it. A file is checked here already, without a device. */
export async function carry(what: string, given: Flow | Uint8Array, score?: unknown): Promise<CarriedFlow> {
  const carried = await carryOne(what, given);
  // what is no flow is told with the other options
  if (!(score instanceof Flow || score instanceof Uint8Array)) return carried;
  const parcels = { flow: carried.parcel, score: (await carryOne(what, score)).parcel };
  const parcel = pack({ kind: "with score" } satisfies FlowHead, parcels);
  return { ...carried, hash: await sha256(parcel), parcel };
}

async function carryOne(what: string, given: Flow | Uint8Array): Promise<CarriedFlow> {
  const flow = readable(`${what}: the flow`, given);
  const isFile = flow instanceof Uint8Array;
  if (!isFile && !(flow instanceof Flow))
    throw invalid(`${what}: the flow is ${show(flow)}, but it is a Flow or the bytes of a file that Flow.save() gave`);
  if (!isFile) flow.assertAlive();
  const parcel = isFile ? pack({ kind: "file" } satisfies FlowHead, { file: flow }) : await parcelOf(flow);
  const shape = isFile ? shapeOf(flow) : { ...pickShape(flow), assertAlive: () => undefined };
  return { hash: await sha256(parcel), parcel, shape };
}

function pickShape({ dim, velocitySpec, source, normalization, transform }: Flow) {
  return { dim, velocitySpec, source, normalization, transform };
}

async function parcelOf(flow: Flow): Promise<Uint8Array> {
  const { velocitySpec: velocity, source, normalization, transform } = flow;
  await source.settled;
  if (velocity.kind !== "wgsl") return pack({ kind: "file" } satisfies FlowHead, { file: await flow.save() });
  const head: FlowHead = {
    kind: "wgsl",
    dim: velocity.dim,
    code: velocity.code,
    // samples lie beside
    ...(source.kind !== "samples" && { source: source.options }),
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  };
  return pack(head, source.kind === "samples" ? { samples: source.rows } : {});
}

function shapeOf(file: Uint8Array): FlowShape {
  const { velocity, source, normalization, transform } = loadFlow(file);
  const circular = circularAxes(transform);
  return {
    dim: velocity.dim,
    velocitySpec: velocity,
    source: sourceSpec(source, velocity.dim, circular),
    normalization: normalization && checkNormalization(normalization, velocity.dim, circular),
    transform,
    assertAlive: () => undefined,
  };
}

/** What a parcel has, on a worker's device. */
export function unpackFlow(gpu: Gpu, parcel: Uint8Array): LoadedFlow {
  const { head, arrays } = unpack<FlowHead>(parcel, "a flow");
  if (head.kind !== "with score") return { flow: flowOf(gpu, head, arrays), score: undefined };
  const flow = unpackFlow(gpu, arrays.flow as Uint8Array).flow;
  return { flow, score: unpackFlow(gpu, arrays.score as Uint8Array).flow };
}

function flowOf(gpu: Gpu, head: Exclude<FlowHead, { kind: "with score" }>, arrays: Arrays): Flow {
  if (head.kind === "file") return Flow.load(gpu, arrays.file as Uint8Array);
  const { dim, code, source, normalization, transform } = head;
  return Flow.create(gpu, {
    velocity: wgslVelocity({ dim, code }),
    source: source ?? { samples: arrays.samples as Float32Array },
    ...(normalization && { normalization }),
    ...(transform && { transform }),
  });
}
