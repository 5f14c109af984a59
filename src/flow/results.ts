import { must } from "../must.ts";

/** Result of a solve. All arrays are row-major; log-probabilities are in nats. */
export interface Trajectory {
  /** [n, dim] at `to`. */
  x: Float32Array;
  /** log p at `to`, [n]. */
  logProb?: Float32Array;
  /** Standard error of each log p, [n], when there are two or more probes. */
  standardError?: Float32Array;
  /** The saved times, when `saveAt` was given. */
  times?: Float64Array;
  /** [times, n, dim]. */
  saved?: Float32Array;
  /** [times, n]. */
  savedLogProb?: Float32Array;
  /** Velocity evaluations per particle; with adaptive steps their mean. */
  nfe: number;
  /** Particles that ended with a NaN or an infinity in x or in log p (−∞ is one, where the density is 0). */
  nonFinite: number;
  /** With adaptive steps, particles that are finite but whose solve did not end: those with a `status` that is not 0. */
  unfinished?: number;
  /** With adaptive steps, how each particle's solve ended, [n]: see {@link solveStatus}. What is not done stays at its last state. */
  status?: Uint8Array;
  /** With adaptive steps, the steps of all particles. */
  steps?: StepCounts;
}

/** Steps of an adaptive solve, summed over the particles, and the most that one of them tried. */
export interface StepCounts {
  accepted: number;
  rejected: number;
  most: number;
}

/** What the numbers of {@link Trajectory.status} say. */
export const solveStatus = {
  /** It arrived at the end. */
  done: 0,
  /** It tried `maxSteps` steps: allow more, or a larger tolerance; a stiff field wants many. */
  stepLimit: 1,
  /** The step that the tolerance asks for is too small for the time to move. */
  stepUnderflow: 2,
  /** The field gave NaN or an infinity however small the step. */
  nonFinite: 3,
} as const;

export interface Samples extends Trajectory {
  /** The source particles, [n, dim], in the flow's own space. */
  x0?: Float32Array;
  count: number;
}

/** Samples of which those in data units are f64: see {@link SampleOptions.output}. */
export interface DoubleSamples extends Omit<Samples, "x" | "saved"> {
  /** [n, dim] at `to`. */
  x: Float64Array;
  /** [times, n, dim]. */
  saved?: Float64Array;
}

export interface LogProb {
  /** [n], nats, in data units. */
  logProb: Float32Array;
  /** Where the particles come from, [n, dim], in the flow's own space. */
  x0: Float32Array;
  standardError?: Float32Array;
  nfe: number;
  /** Particles whose log p or x0 is a NaN or an infinity: log p is −∞ where the density is 0. */
  nonFinite: number;
  /** With adaptive steps, particles that are finite but whose solve did not end. */
  unfinished?: number;
  status?: Uint8Array;
  steps?: StepCounts;
}

type Resident<T> = {
  [K in keyof T]: K extends "times" ? T[K] : T[K] extends Float32Array | undefined ? GPUBuffer : T[K];
};

/** A result whose arrays stayed on the device, in the same layout. The buffers are the caller's to destroy. */
export type ResidentTrajectory = Resident<Trajectory>;
export type ResidentSamples = Resident<Samples>;
export type ResidentLogProb = Resident<LogProb>;

/** What {@link Flow.logProb} gives, from a solve back to the source: arrays, or buffers in their place. */
export function logProbResult({ logProb, x, ...figures }: Trajectory): LogProb {
  return { ...figures, logProb: must(logProb, "log p of a solve"), x0: x };
}
