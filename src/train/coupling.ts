import type { SourceSpec } from "../flow/source.ts";
import { item } from "../must.ts";
import { type Key, normals, philox, streams, uniforms } from "../random/philox.ts";
import { assign } from "./assignment.ts";
import { addNoise, drawnRow, type RowDraws } from "./row-draws.ts";

/**
 * Samples that are paired with each other. An exact assignment of n pairs takes O(n³); groups of 64 cost a tenth of a training
 * step and keep most of what a whole batch gives.
 */
export const couplingGroup = 64;

/** The pairs of one batch: starts x_0 and ends x_1 [n, dim] in the flow's own space, times and, where there are classes, labels [n]. */
export interface CoupledBatch {
  readonly starts: Float32Array;
  readonly ends: Float32Array;
  readonly times: Float32Array;
  readonly labels?: Uint32Array;
  /** Σ |x_1 − x_0|² over the batch, of these pairs and of the independent ones that they were made from. */
  readonly cost: { readonly coupled: number; readonly independent: number };
}

/** The label of a sample that is trained without its class. */
const noLabel = 0xffffffff;

export interface CouplingOptions {
  readonly dim: number;
  readonly key: Key;
  readonly source: SourceSpec;
  /** Data in the flow's own space, [rows, dim]. */
  readonly data: Float32Array;
  /** Class of each row. */
  readonly labels?: Uint32Array | undefined;
  /** Probability with which a sample loses its label, behind the pairing. */
  readonly labelDropout?: number;
  /** Shares and noise of the rows. */
  readonly draws?: RowDraws | undefined;
}

/**
 * Samples `first` … `first` + `count` − 1 of training, drawn as the device draws them; within groups of 64 the ends are then
 * exchanged so that Σ |x_1 − x_0|² is least: minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024, §3.2).
 * With labels the groups are of one class each: pairs across classes would give every class a source of its own (Cheng & Schwing 2025).
 */
export function coupledBatch(o: CouplingOptions, first: number, count: number): CoupledBatch {
  const { dim, key, source, data, labels, labelDropout = 0 } = o;
  const starts = drawStarts(source, dim, key, first, count);
  const ends = new Float32Array(count * dim);
  const rows = data.length / dim;
  const words = new Uint32Array(4);
  const own = new Uint32Array(count);
  const members = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const particle = first + i;
    philox(particle >>> 0, Math.floor(particle / 2 ** 32), 0, streams.batchIndex, key, words);
    const row = drawnRow(o.draws, words, rows);
    ends.set(data.subarray(row * dim, (row + 1) * dim), i * dim);
    if (o.draws) addNoise(o.draws, row, ends.subarray(i * dim, (i + 1) * dim), key, particle);
    const label = labels ? item(labels, row) : noLabel;
    own[i] = label;
    const list = members.get(label);
    if (list) list.push(i);
    else members.set(label, [i]);
  }
  const independent = transportCost(starts, ends);
  for (const list of members.values())
    for (let group = 0; group < list.length; group += couplingGroup)
      pairGroup(starts, ends, dim, list.slice(group, group + couplingGroup));
  const times = uniforms(key, streams.batchTime, first, count, 1);
  const cost = { coupled: transportCost(starts, ends), independent };
  if (!labels) return { starts, ends, times, cost };
  const dropped = uniforms(key, streams.labelDropout, first, count, 1);
  return {
    starts,
    ends,
    times,
    cost,
    labels: own.map((label, i) => (item(dropped, i) <= labelDropout ? noLabel : label)),
  };
}

/** Of starts and ends of one length. */
function transportCost(starts: Float32Array, ends: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < starts.length; i++) sum += ((ends[i] as number) - (starts[i] as number)) ** 2;
  return sum;
}

function drawStarts(source: SourceSpec, dim: number, key: Key, first: number, count: number): Float32Array {
  const draw = source.kind === "gaussian" ? normals : uniforms;
  const starts = draw(key, streams.batchSource, first, count, dim);
  for (let i = 0; i < starts.length; i++) {
    // a source has two rows of dim numbers
    const a = source.rows[i % dim] as number;
    const b = source.rows[dim + (i % dim)] as number;
    starts[i] = a + (source.kind === "gaussian" ? b : b - a) * (starts[i] as number);
  }
  return starts;
}

/** Σ |x_1 − x_0|² over a permutation is a constant minus 2 Σ x_0·x_1, so the cost is −x_0·x_1. */
function pairGroup(starts: Float32Array, ends: Float32Array, dim: number, members: readonly number[]): void {
  const size = members.length;
  const cost = new Float64Array(size * size);
  for (const [i, a] of members.entries()) {
    for (const [j, b] of members.entries()) {
      let product = 0;
      for (let k = 0; k < dim; k++) product += (starts[a * dim + k] as number) * (ends[b * dim + k] as number);
      cost[i * size + j] = -product;
    }
  }
  const original = members.map((member) => ends.slice(member * dim, (member + 1) * dim));
  for (const [i, j] of assign(cost, size).entries()) ends.set(item(original, j), item(members, i) * dim);
}
