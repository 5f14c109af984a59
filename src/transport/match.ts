import { assign } from "./assignment.ts";

/** Points to be paired, in runs: those of a run are paired with each other alone. */
export interface MatchJob {
  /** Sources and targets, row-major [n, width] each. */
  readonly starts: Float32Array;
  readonly ends: Float32Array;
  readonly width: number;
  /** The first `dim` of the `width` coordinates are states, of which the costs are told; others count in the pairing alone. */
  readonly dim: number;
  /** Points of each run, in order; n in all. */
  readonly runs: Uint32Array;
}

export interface Match {
  /** The target of each source, a number from 0 to n − 1. */
  readonly order: Uint32Array;
  /** Σ |end − start|² of the states: of these pairs, and of the points as they came. */
  readonly coupled: number;
  readonly independent: number;
}

/** The pairs with the least Σ |end − start|² over all coordinates, exactly. The same points always give the same pairs. */
export function match({ starts, ends, width, dim, runs }: MatchJob): Match {
  const order = new Uint32Array(starts.length / width);
  let first = 0;
  for (const size of runs) {
    const cost = costs(starts, ends, width, first, size);
    for (const [i, j] of assign(cost, size).entries()) order[first + i] = first + j;
    first += size;
  }
  const independent = squares(starts, ends, width, dim, (i) => i);
  return { order, independent, coupled: squares(starts, ends, width, dim, (i) => order[i] as number) };
}

/**
 * Σ |end − start|² over a permutation is a constant minus 2 Σ ⟨start, end⟩, so the cost is −⟨start, end⟩; about the means, lest an
 * offset drown the differences.
 */
function costs(starts: Float32Array, ends: Float32Array, width: number, first: number, size: number): Float64Array {
  const cost = new Float64Array(size * size);
  for (let k = 0; k < width; k++) {
    const x = centred(starts, width, first, size, k);
    const y = centred(ends, width, first, size, k);
    for (let i = 0; i < size; i++) {
      const factor = x[i] as number;
      const row = i * size;
      for (let j = 0; j < size; j++) cost[row + j] = (cost[row + j] as number) - factor * (y[j] as number);
    }
  }
  return cost;
}

/** Coordinate k of each point of a run, minus its mean. */
function centred(rows: Float32Array, width: number, first: number, size: number, k: number): Float64Array {
  const values = Float64Array.from({ length: size }, (_, i) => rows[(first + i) * width + k] as number);
  const mean = values.reduce((sum, value) => sum + value, 0) / size;
  return values.map((value) => value - mean);
}

/** Σ |end − start|² of the states, the end of start i being that of number `endOf(i)`. */
function squares(
  starts: Float32Array,
  ends: Float32Array,
  width: number,
  dim: number,
  endOf: (i: number) => number,
): number {
  let sum = 0;
  for (let i = 0; i * width < starts.length; i++) {
    const end = endOf(i) * width;
    for (let k = 0; k < dim; k++) sum += ((ends[end + k] as number) - (starts[i * width + k] as number)) ** 2;
  }
  return sum;
}
