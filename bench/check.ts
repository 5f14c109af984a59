import { flowMatching } from "../test/oracle/losses.ts";
import { evaluate, network } from "../test/oracle/mlp.ts";
import { networkField } from "../test/oracle/network-field.ts";
import { logLikelihood, push, timesOf } from "../test/oracle/ode.ts";
import { row, unit } from "../test/oracle/vectors.ts";
import type { Work } from "./contender.ts";
import { uniform } from "./networks.ts";

/** Relative error that a figure may have: f32 over some hundred layers. */
const tolerance = 1e-4;

/** Particles that are compared: the ends, and some between. */
function some(n: number): number[] {
  return [...new Set([0, 1, Math.floor(n / 3), Math.floor(n / 2) + 1, n - 1])].filter((i) => i >= 0 && i < n);
}

/**
 * Compares a result with f64 on a few particles; says what is wrong, or nothing. Hutchinson's estimate is random: it must lie
 * within six of its own standard deviations, √(2 Σ_{i≠j} A_ij²) with A the symmetric part of ∫ ∂u/∂x dt, of the exact value.
 * A loss must be that of the initial network within a quarter.
 */
export function faultOf(work: Work, result: Float32Array): string | undefined {
  const { dim, hidden, activation, weights } = work.network;
  const net = network({ dim, hidden: [...hidden], activation }, weights);
  const compare = (what: string, got: ArrayLike<number>, wanted: ArrayLike<number>, slack = 0): string | undefined => {
    for (let i = 0; i < wanted.length; i++) {
      const [a = Number.NaN, b = Number.NaN] = [got[i], wanted[i]];
      if (!(Math.abs(a - b) <= tolerance * (1 + Math.abs(b)) + slack)) return `${what} is ${a}, but f64 gives ${b}`;
    }
    return undefined;
  };
  if (work.kind === "train") {
    const n = 512;
    const data = work.data.subarray(0, n * dim);
    const { loss } = flowMatching(net, { x0: gaussian(n * dim), x1: data, t: uniform(n, 0.5, 9).map((v) => v + 0.5) });
    const [got = Number.NaN] = result;
    return Math.abs(got - loss) <= 0.25 * loss
      ? undefined
      : `the loss is ${got}, but about ${loss} is right at the start`;
  }
  for (const p of some(work.n)) {
    const x = row(work.x, dim, p);
    let fault: string | undefined;
    if (work.kind === "velocity") {
      fault = compare(`particle ${p}`, row(result, dim, p), evaluate(net, work.t, x).velocity);
    } else if (work.kind === "sample") {
      const field = { ...networkField(net), divergence: () => 0 };
      fault = compare(`particle ${p}`, row(result, dim, p), push(field, x, work.method, timesOf(0, 1, work.steps)).x);
    } else {
      const times = timesOf(1, 0, work.steps);
      const { logProb } = logLikelihood(networkField(net), x, work.method, times);
      const slack =
        work.divergence === "exact" ? 0 : (6 * deviation(net, x, times)) / Math.sqrt(work.divergence.probes);
      fault = compare(`log p of particle ${p}`, result.subarray(p, p + 1), [logProb], slack);
    }
    if (fault) return fault;
  }
  return undefined;
}

/** √(2 Σ_{i≠j} A_ij²) along the particle's way, A by the rectangle rule on the solver's grid. */
function deviation(net: ReturnType<typeof network>, start: Float64Array, times: readonly number[]): number {
  const { dim } = net.spec;
  const tangents = Array.from({ length: dim }, (_, k) => unit(dim, k));
  const A = new Float64Array(dim * dim);
  let x = start;
  for (let k = 0; k + 1 < times.length; k++) {
    const [t = 0, next = 0] = [times[k], times[k + 1]];
    const { velocity, products } = evaluate(net, t, x, tangents);
    for (let j = 0; j < dim; j++)
      for (let i = 0; i < dim; i++) A[i * dim + j] = (A[i * dim + j] ?? 0) + (next - t) * (products[j]?.[i] ?? 0);
    x = x.map((value, i) => value + (next - t) * (velocity[i] ?? 0));
  }
  let sum = 0;
  for (let i = 0; i < dim; i++)
    for (let j = 0; j < dim; j++) {
      if (i === j) continue;
      const symmetric = ((A[i * dim + j] ?? 0) + (A[j * dim + i] ?? 0)) / 2;
      sum += 2 * symmetric ** 2;
    }
  return Math.sqrt(sum);
}

/** Normal numbers (Box and Muller) from the generator of all. */
function gaussian(length: number): Float32Array {
  const u = uniform(2 * length, 0.5, 21).map((value) => value + 0.5);
  return Float32Array.from({ length }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(Math.max(1e-7, u[2 * i] ?? 0)));
    return radius * Math.cos(2 * Math.PI * (u[2 * i + 1] ?? 0));
  });
}
