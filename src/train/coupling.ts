import type { SourceSpec } from "../flow/source.ts";
import { type Key, normals, philox, randomIndex, streams, uniforms } from "../random/philox.ts";
import { assign } from "./assignment.ts";

/**
 * Samples that are paired with each other. An exact assignment of n pairs takes O(n³); groups of 64 cost a tenth of a training
 * step and keep most of what a whole batch gives.
 */
export const couplingGroup = 64;

/** The pairs of one batch: starts x_0 and ends x_1 [n, dim] in the flow's own space, and times [n]. */
export interface CoupledBatch {
  readonly starts: Float32Array;
  readonly ends: Float32Array;
  readonly times: Float32Array;
}

export interface CouplingOptions {
  readonly dim: number;
  readonly key: Key;
  readonly source: SourceSpec;
  /** Data in the flow's own space, [rows, dim]. */
  readonly data: Float32Array;
}

/**
 * Samples `first` … `first` + `count` − 1 of training, drawn as the device draws them; within each group of 64 the ends are then
 * exchanged so that Σ |x_1 − x_0|² is least: minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024, §3.2).
 */
export function coupledBatch({ dim, key, source, data }: CouplingOptions, first: number, count: number): CoupledBatch {
  const starts = drawStarts(source, dim, key, first, count);
  const ends = new Float32Array(count * dim);
  const rows = data.length / dim;
  const words = new Uint32Array(4);
  for (let i = 0; i < count; i++) {
    const particle = first + i;
    philox(particle >>> 0, Math.floor(particle / 2 ** 32), 0, streams.batchIndex, key, words);
    const row = randomIndex(words[0] ?? 0, rows);
    ends.set(data.subarray(row * dim, (row + 1) * dim), i * dim);
  }
  for (let group = 0; group < count; group += couplingGroup) {
    pairGroup(starts, ends, dim, group, Math.min(couplingGroup, count - group));
  }
  return { starts, ends, times: uniforms(key, streams.batchTime, first, count, 1) };
}

function drawStarts(source: SourceSpec, dim: number, key: Key, first: number, count: number): Float32Array {
  const draw = source.kind === "gaussian" ? normals : uniforms;
  const starts = draw(key, streams.batchSource, first, count, dim);
  for (let i = 0; i < starts.length; i++) {
    const a = source.rows[i % dim] ?? 0;
    const b = source.rows[dim + (i % dim)] ?? 1;
    starts[i] = source.kind === "gaussian" ? a + b * (starts[i] ?? 0) : a + (b - a) * (starts[i] ?? 0);
  }
  return starts;
}

/** Σ |x_1 − x_0|² over a permutation is a constant minus 2 Σ x_0·x_1, so the cost is −x_0·x_1. */
function pairGroup(starts: Float32Array, ends: Float32Array, dim: number, group: number, size: number): void {
  const cost = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let product = 0;
      for (let k = 0; k < dim; k++)
        product += (starts[(group + i) * dim + k] ?? 0) * (ends[(group + j) * dim + k] ?? 0);
      cost[i * size + j] = -product;
    }
  }
  const original = ends.slice(group * dim, (group + size) * dim);
  for (const [i, j] of assign(cost, size).entries()) {
    ends.set(original.subarray(j * dim, (j + 1) * dim), (group + i) * dim);
  }
}
