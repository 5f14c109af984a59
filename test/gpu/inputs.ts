import * as pf from "pushforward";
import type { Condition } from "../oracle/mlp.ts";

/** A small linear congruential generator: the same numbers in every home, without the library's own generator. */
export function generator(seed: number): () => number {
  let state = (seed * 7919 + 12345) % 2147483647;
  return () => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
}

/** `length` numbers in [low, high). */
export function uniformArray(length: number, low: number, high: number, seed: number): Float32Array {
  const next = generator(seed);
  return Float32Array.from({ length }, () => low + (high - low) * next());
}

/** Row i of a row-major [n, dim] array. */
export function rowOf(values: Float32Array, dim: number, i: number): Float32Array {
  return values.subarray(i * dim, (i + 1) * dim);
}

/** The values of `f(i)` for i = 0 … n − 1, one behind the other. */
export function forRows(n: number, f: (i: number) => ArrayLike<number> | number): number[] {
  const all: number[] = [];
  for (let i = 0; i < n; i++) {
    const value = f(i);
    if (typeof value === "number") all.push(value);
    else for (let j = 0; j < value.length; j++) all.push(value[j] ?? Number.NaN);
  }
  return all;
}

/** Labels and context for n particles of a conditional network, and the oracle's view of particle i. */
export function conditionsFor(spec: { classes: number; context: number }, n: number, seed: number) {
  const next = generator(seed);
  const labels =
    spec.classes > 0 ? Uint32Array.from({ length: n }, () => Math.floor(next() * spec.classes)) : undefined;
  // one particle of the null class, where there are classes
  if (labels && n > 3) labels[3] = 0xffffffff;
  const context = spec.context > 0 ? uniformArray(n * spec.context, -1, 1, seed + 1) : undefined;
  const options = { ...(labels && { labels }), ...(context && { context }) };
  const conditionOf = (i: number): Condition => ({
    ...(labels && { label: labels[i] ?? 0xffffffff }),
    ...(context && { context: rowOf(context, spec.context, i) }),
  });
  return { options, conditionOf };
}

/** A device that says it is a GPU: networks run on tiles of particles, in subgroups that share weights or by the invocation. */
export async function asGpu(features?: readonly string[]): Promise<pf.Gpu> {
  const gpu = await pf.openGpu();
  Object.assign(gpu.info, { software: false, ...(features && { features }) });
  return gpu;
}

/** Weights larger than initial ones, so that second derivatives matter and steps of a solver are far from the flow. */
export async function strengthen(flow: pf.Flow): Promise<Record<string, Float32Array>> {
  const weights = Object.fromEntries(
    Object.entries(await flow.weights()).map(([key, values]) => [
      key,
      values.map((w, i) => 1.5 * w + 0.1 * Math.sin(i)),
    ]),
  );
  flow.setWeights(weights);
  return weights;
}
