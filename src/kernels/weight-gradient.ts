import { dispatchOf } from "../../shaders/dispatch.ts";
import { type ResidentTile, residentGradientKernel, residentWorkgroup } from "../../shaders/resident-gradient.ts";
import { gradientSide, nowhere, weightGradientKernel } from "../../shaders/weight-gradient.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { subgroupForWeights } from "./tiling.ts";

/** Copies of the gradient that the invocations leave in "partials", to be added in order: few enough to add, many enough to fill a device. */
const mostCopies = 128;

/** Their bytes. */
const mostBytes = 64 << 20;

/** What the planner must know of the adapter. */
export type GradientDevice = Pick<GpuInfo, "software" | "subgroupSize">;

/**
 * 128 particles for a copy: by subgroups of 4 or 8, or by invocations where there are none. Adapters with subgroups of 8 take half a
 * second to compile a tile, so that the layers of a network have one, as wide as the `widest` asks for.
 */
function residentTile(device: GradientDevice, own: number, widest = own): Omit<ResidentTile, "adds"> {
  const subgroup = subgroupForWeights(device);
  const step = Math.max(4, subgroup);
  const vectors = subgroup > 0 ? 32 / subgroup : 8;
  const whole = (inputs: number) => step * Math.ceil(inputs / step);
  // of 16 inputs SwiftShader's loads took longer than the products
  if (subgroup === 4) return { vectors, inputs: whole(own / Math.ceil(own / 48)), subgroup };
  return { vectors, inputs: Math.min(16, whole(subgroup === 8 ? widest : own)), subgroup };
}

/** Copies of the gradient for a batch of `capacity` particles, however many tangents go with it. */
export function gradientCopies(device: GradientDevice, capacity: number, parameterCount: number): number {
  const { vectors, subgroup } = residentTile(device, 16);
  const particles = device.software ? 4 * vectors * Math.max(1, subgroup) : 128;
  const fitting = Math.max(1, Math.floor(mostBytes / 4 / parameterCount));
  return Math.min(mostCopies, fitting, Math.ceil(capacity / particles));
}

/** Where cotangents or inputs lie: from a row of a buffer, and by how many rows that of the next tangent and of the next turn is behind. */
export interface SourceRows {
  readonly name: string;
  readonly row: number;
  readonly rows?: number;
  readonly turn?: number;
}

/** One layer's gradient, and where its cotangents and inputs lie: rows of `vectors`, of which the first `values` are no tangents. */
export interface WeightGradientCall {
  readonly inputs: number;
  readonly outputs: number;
  /** Inputs of the widest matrix of the network; default `inputs`. */
  readonly widest?: number;
  /** Where the first of the weights is, and the numbers of a row of the matrix; none when only sums of cotangents are asked for. */
  readonly weights: { readonly offset: number; readonly rowLength: number } | undefined;
  readonly biasOffset: number | undefined;
  /** Numbers of a copy in `partials`. */
  readonly stride: number;
  readonly vectors: number;
  readonly values: number;
  readonly copies: number;
  /** Whether these are all sums that the copies in `partials` get, the first of them, or added to what is there. */
  readonly sum: "only" | "first" | "added";
  /** What is added, one after the other: `turns` passes with so many `tangents` each; default one. */
  readonly sources?: { readonly turns: number; readonly tangents: number };
  readonly cotangents: SourceRows;
  readonly activations: SourceRows;
}

const oneSource = { turns: 1, tangents: 1 };

/** The sums one by one. */
function eachSource(call: WeightGradientCall): WeightGradientCall[] {
  const { turns, tangents } = call.sources ?? oneSource;
  return Array.from({ length: turns * tangents }, (_, i) => {
    const at = ({ name, row, rows = 0, turn = 0 }: SourceRows) => ({
      name,
      row: row + Math.floor(i / tangents) * turn + (i % tangents) * rows,
    });
    return {
      ...call,
      sources: oneSource,
      sum: i > 0 ? "added" : call.sum,
      cotangents: at(call.cotangents),
      activations: at(call.activations),
    };
  });
}

/** Dispatches of one layer's weight and bias gradient into "partials": ∂W = Σ_p c_p h_pᵀ, ∂b = Σ_p c_p. */
export function planWeightGradient(call: WeightGradientCall, device: GradientDevice, maxFlops: number): Dispatch[] {
  return device.software ? resident(call, device) : eachSource(call).flatMap((one) => tiled(one, maxFlops));
}

const layerNumbers = (o: WeightGradientCall) => ({
  inputs: o.inputs,
  outputs: o.outputs,
  value_vectors: o.values,
  cotangent_row: o.cotangents.row,
  input_row: o.activations.row,
  weight_offset: o.weights?.offset ?? nowhere,
  row_length: o.weights?.rowLength ?? 0,
  bias_offset: o.biasOffset ?? nowhere,
  parameters: o.stride,
});

const buffersOf = ({ cotangents, activations }: WeightGradientCall) => ({
  cotangents: cotangents.name,
  inputs: activations.name,
  partials: "partials",
});

/** Software adapters: inputs stay in registers, cotangents stream past. More particles than the copies take are added in rounds. */
function resident(o: WeightGradientCall, device: GradientDevice): Dispatch[] {
  const tile = residentTile(device, o.inputs, o.widest);
  const lanes = Math.max(1, tile.subgroup);
  const perRound = o.copies * tile.vectors * lanes;
  // one kernel for the first sum and the others, unless nothing is ever added
  const { turns, tangents } = o.sources ?? oneSource;
  const sources = turns * tangents;
  const adds = o.sum !== "only" || o.vectors > perRound || sources > 1;
  const { cotangents, activations } = o;
  const added = (value: number) => (adds ? value : undefined);
  const many = {
    sources: added(sources),
    tangents: added(tangents),
    cotangent_rows: added(cotangents.rows ?? 0),
    cotangent_turn: added(cotangents.turn ?? 0),
    input_rows: added(activations.rows ?? 0),
    input_turn: added(activations.turn ?? 0),
  };
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < o.vectors; first += perRound) {
    const keeps = o.sum === "added" || first > 0 ? 1 : 0;
    dispatches.push(
      dispatchOf(residentGradientKernel({ ...tile, adds }), {
        params: {
          first,
          row_vectors: o.vectors,
          segments: o.copies,
          ...layerNumbers(o),
          keeps: added(keeps),
          ...many,
        },
        buffers: buffersOf(o),
        workgroups: [Math.ceil((o.copies * lanes) / residentWorkgroup(tile)), Math.ceil(o.inputs / tile.inputs)],
        flops: 8 * sources * o.inputs * o.outputs * Math.min(perRound, o.vectors - first),
      }),
    );
  }
  return dispatches;
}

/** Rows of a side of a matrix that an invocation of the tile takes, at most 8, and the tiles along that side. */
function alongSide(rows: number): { rows: number; tiles: number } {
  const tiles = Math.ceil(rows / (8 * gradientSide));
  return { rows: Math.ceil(rows / tiles / gradientSide), tiles };
}

/** GPUs: a workgroup has a tile of the matrix, its invocations register tiles of outputs × inputs. */
function tiled(o: WeightGradientCall, maxFlops: number): Dispatch[] {
  const inputs = alongSide(o.inputs);
  const outputs = alongSide(o.outputs);
  const segmentVectors = Math.ceil(o.vectors / o.copies);
  const perSegment = 8 * (o.inputs + 1) * o.outputs * segmentVectors;
  const most = Math.max(1, Math.floor(maxFlops / perSegment));
  const dispatches: Dispatch[] = [];
  for (let segment = 0; segment < o.copies; segment += most) {
    const now = Math.min(most, o.copies - segment);
    dispatches.push(
      dispatchOf(weightGradientKernel({ outputs: outputs.rows, inputs: inputs.rows }), {
        params: {
          stride: o.vectors,
          vectors: o.vectors,
          segment_vectors: segmentVectors,
          segment,
          accumulate: o.sum === "added" ? 1 : 0,
          ...layerNumbers(o),
        },
        buffers: buffersOf(o),
        workgroups: [inputs.tiles, outputs.tiles, now],
        flops: now * perSegment,
      }),
    );
  }
  return dispatches;
}
