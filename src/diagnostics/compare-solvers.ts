import { invalid } from "../errors.ts";
import { callFields, seed } from "../flow/fields.ts";
import type { Flow } from "../flow/flow.ts";
import { checkFlow } from "../flow/given-flow.ts";
import type { CallOptions } from "../flow/options.ts";
import type { Solver } from "../ode/grid.ts";
import { checked, flag, integer, later, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";

export interface CompareSolversOptions extends Omit<CallOptions, "chunkSize" | "onProgress"> {
  /** The solvers to compare. */
  solvers: readonly Solver[];
  /** Particles. Default 1000. */
  count?: number;
  /** Seed of the source particles. Default 0. */
  seed?: number;
  /** What stands for the truth. Default `{ method: "dopri5", rtol: 1e-6, atol: 1e-6 }`, as fine as f32 allows. */
  reference?: Solver;
  /** Whether log p is compared, too, by the exact divergence where that is the flow's default. Default true. */
  logProb?: boolean;
}

const fields = {
  labels: callFields.labels,
  context: callFields.context,
  guidance: callFields.guidance,
  signal: callFields.signal,
  solvers: {
    check(name, value) {
      if (Array.isArray(value) && value.length > 0) return value as readonly Solver[];
      throw invalid(`${name} is ${show(value)}, but it is a list of solvers: [{ method: "midpoint", steps: 10 }, …]`);
    },
    required: true,
  },
  count: { check: integer(1), fallback: 1000 },
  seed: { check: seed, fallback: 0 },
  reference: { check: later<Solver>, fallback: { method: "dopri5", rtol: 1e-6, atol: 1e-6 } },
  logProb: { check: flag(), fallback: true },
} satisfies Schema<CompareSolversOptions>;

/** A solver beside the reference. Errors are over the particles that are finite and done with both. */
export interface SolverComparison {
  solver: Solver;
  /** Velocity evaluations per particle. */
  nfe: number;
  /** √ of the mean |x − x_ref|² of samples from the same source particles, in data units. */
  error: number;
  /** The largest |x − x_ref|. */
  largestError: number;
  /** Of log p at the reference's samples, in nats: √ of the mean square, and the mean. */
  logProbError?: number;
  logProbBias?: number;
  /** Particles that are left out, since their solve did not end or is not finite. */
  failed: number;
  /** Wall time of the samples, the first call's compilation included. */
  seconds: number;
}

/**
 * What a solver's steps cost and how far they are from the truth: samples of each solver from the same source particles, and log p at the
 * same points, beside a fine reference. In order of the list; an error is good to about 1e-6 of the data's size, which f32 leaves.
 *
 * @throws PushforwardError `invalid-argument` for what is no flow or solver; `unsupported` as `Flow.logProb`, which `logProb: false` spares.
 * @example
 * import { Flow, mlp, openGpu } from "pushforward";
 * import { compareSolvers } from "pushforward/diagnostics";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [16] }) });
 * const solvers = [2, 4, 8].map((steps) => ({ method: "midpoint", steps }) as const);
 * for (const { nfe, error, logProbError } of await compareSolvers(flow, { solvers, count: 100 })) console.log(nfe, error, logProbError);
 * gpu.dispose();
 */
export async function compareSolvers(flow: Flow, options: CompareSolversOptions): Promise<SolverComparison[]> {
  const what = "compareSolvers";
  checkFlow(what, flow);
  const { solvers, count, seed, reference, logProb, ...call } = checked(what, fields, options);
  const solve = async (solver: Solver) => {
    const began = performance.now();
    const samples = await flow.sample(count, { ...call, solver, seed });
    return { ...samples, seconds: (performance.now() - began) / 1000 };
  };
  const truth = await solve(reference);
  const points = wholeRows(truth.x, flow.dim);
  const score = (solver: Solver) => flow.logProb(points, { ...call, solver });
  const scores = logProb ? await score(reference) : undefined;
  const found: SolverComparison[] = [];
  for (const solver of solvers) {
    const { x, nfe, status, seconds } = await solve(solver);
    const errors = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      let squares = isDone(truth.status, i) && isDone(status, i) ? 0 : Number.NaN;
      for (let k = i * flow.dim; k < (i + 1) * flow.dim; k++)
        squares += ((x[k] as number) - (truth.x[k] as number)) ** 2;
      errors[i] = Math.sqrt(squares);
    }
    const { rms, largest, failed } = summary(errors);
    const comparison = { solver, nfe, error: rms, largestError: largest, failed, seconds };
    if (!scores) {
      found.push(comparison);
      continue;
    }
    const own = await score(solver);
    const differences = Float64Array.from(own.logProb, (value, i) =>
      Number.isFinite(errors[i]) && isDone(scores.status, i) && isDone(own.status, i)
        ? value - (scores.logProb[i] as number)
        : Number.NaN,
    );
    const { rms: logProbError, mean: logProbBias } = summary(differences);
    found.push({ ...comparison, logProbError, logProbBias });
  }
  return found;
}

/** A row that is not finite would be refused, and its errors are NaN anyway: one that is stands in its place. */
function wholeRows(x: Float32Array, dim: number): Float32Array {
  const rowOf = (i: number) => x.subarray(i * dim, (i + 1) * dim);
  const isWhole = Array.from({ length: x.length / dim }, (_, i) => rowOf(i).every(Number.isFinite));
  const other = rowOf(Math.max(0, isWhole.indexOf(true)));
  const whole = x.slice();
  for (const [i, is] of isWhole.entries()) if (!is) whole.set(other, i * dim);
  return whole;
}

const isDone = (status: Uint8Array | undefined, i: number) => status === undefined || status[i] === 0;

/** Of the numbers that are finite. */
function summary(values: Float64Array): { mean: number; rms: number; largest: number; failed: number } {
  const finite = values.filter((value) => Number.isFinite(value));
  const n = finite.length;
  return {
    mean: finite.reduce((sum, value) => sum + value, 0) / n,
    rms: Math.sqrt(finite.reduce((sum, value) => sum + value * value, 0) / n),
    largest: n === 0 ? Number.NaN : finite.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
    failed: values.length - n,
  };
}
