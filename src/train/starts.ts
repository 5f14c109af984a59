import { partDraw } from "../../shaders/source-draws.ts";
import type { SourceSpec } from "../flow/source.ts";
import { item } from "../must.ts";
import { type Key, normals, philox, randomIndex, uniform01, uniforms } from "../random/philox.ts";

/*
 * What trainings need to know of the source that x_0 is drawn from: samples lie behind the rows of the data, the numbers of any other
 * source behind those that change units (sourceNumbers in shaders/flow-matching.ts).
 */

/** What lies in the buffer of the data; the times of given steps come last. */
export function withStarts(data: Float32Array, { kind, rows }: SourceSpec, steps = new Float32Array(0)): Float32Array {
  if (kind !== "samples") return data;
  const all = new Float32Array(data.length + rows.length + steps.length);
  all.set(data);
  all.set(rows, data.length);
  all.set(steps, data.length + rows.length);
  return all;
}

/** What lies in the buffer of the constants. */
export function constantsOf({ kind, rows }: SourceSpec): Float32Array {
  return kind === "samples" ? new Float32Array(0) : rows;
}

interface ColumnMoments {
  readonly mean: number;
  readonly variance: number;
}

/** Mean and variance of column k of x_0. */
export function sourceMoments({ kind, parts, rows }: SourceSpec, dim: number, k: number): ColumnMoments {
  if (kind === "samples") return momentsOf(rows, dim, k);
  if (kind === "uniform") {
    const [low, high] = [item(rows, k), item(rows, dim + k)];
    return { mean: (low + high) / 2, variance: (high - low) ** 2 / 12 };
  }
  let mean = 0;
  let square = 0;
  let before = 0;
  for (let part = 0; part < parts; part++) {
    const level = kind === "mixture" ? item(rows, 2 * parts * dim + part) : 1;
    const [own, deviation] = [item(rows, part * dim + k), item(rows, (parts + part) * dim + k)];
    mean += (level - before) * own;
    square += (level - before) * (own * own + deviation * deviation);
    before = level;
  }
  return { mean, variance: square - mean * mean };
}

/** Mean and variance of column k of rows. */
export function momentsOf(rows: Float32Array, width: number, k: number): ColumnMoments {
  const count = rows.length / width;
  let mean = 0;
  for (let i = k; i < rows.length; i += width) mean += (rows[i] as number) / count;
  let variance = 0;
  for (let i = k; i < rows.length; i += width) variance += ((rows[i] as number) - mean) ** 2 / count;
  return { mean, variance };
}

/** Rows of x_0 by the particles' numbers, as kernels draw them: normals to a few units in the last place, samples to the bit. */
export function drawStarts(
  { kind, parts, rows }: SourceSpec,
  dim: number,
  key: Key,
  stream: number,
  first: number,
  count: number,
): Float32Array {
  const words = new Uint32Array(4);
  const wordOf = (i: number) => {
    const particle = first + i;
    philox(particle >>> 0, Math.floor(particle / 2 ** 32), partDraw, stream, key, words);
    return words[0] as number;
  };
  const starts = new Float32Array(count * dim);
  if (kind === "samples") {
    for (let i = 0; i < count; i++) {
      const row = randomIndex(wordOf(i), parts);
      starts.set(rows.subarray(row * dim, (row + 1) * dim), i * dim);
    }
    return starts;
  }
  const draws = (kind === "uniform" ? uniforms : normals)(key, stream, first, count, dim);
  for (let i = 0; i < count; i++) {
    const part = kind === "mixture" ? partOf(uniform01(wordOf(i)), rows.subarray(2 * parts * dim), parts) : 0;
    for (let k = 0; k < dim; k++) {
      // a source has these two numbers for each dimension of each part
      const a = rows[part * dim + k] as number;
      const b = rows[(parts + part) * dim + k] as number;
      starts[i * dim + k] = a + (kind === "uniform" ? b - a : b) * (draws[i * dim + k] as number);
    }
  }
  return starts;
}

/** The component whose share of (0, 1] a number lies in. */
function partOf(level: number, levels: Float32Array, parts: number): number {
  let part = 0;
  while (part + 1 < parts && level > (levels[part] as number)) part++;
  return part;
}
