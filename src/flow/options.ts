import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import type { DivergenceMode } from "../ode/engine.ts";
import type { Solver } from "../ode/grid.ts";
import { checkInteger, checkKeys, checkWord, show } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { checkAllFinite, type Rows } from "./rows.ts";

/** `"exact"` (default for dim ≤ 16), or Hutchinson's estimate ZᵀJZ with K probes, drawn once per particle and solve, or given as [K, n, dim]. */
export type Divergence = "exact" | { probe: "rademacher" | "gaussian"; probes?: number; vectors?: Float32Array };

/** Options of every call on many particles. */
export interface CallOptions extends RunOptions {
  /** Class of each particle, [n]; in a GPUBuffer as u32, of which one that no class has is the null class. */
  labels?: Uint32Array | GPUBuffer;
  /** Context of each particle, row-major [n, context]. */
  context?: Rows;
  /** w of (1 − w)·u_null + w·u_label. Default 1. */
  guidance?: number;
}

/** Options of evaluations of the field at given particles. */
export interface EvaluationOptions extends CallOptions {
  /** Rows of particles that are passed in a GPUBuffer; default: as many as its size holds. */
  count?: number;
}

/** Where the results of a call go: to the host, or into buffers that stay on the device and belong to the caller. */
export type Output = "cpu" | "gpu";

/**
 * What a network's weights and activations are held in: f32 (default), or f16 on devices with the feature `shader-f16`, for
 * networks up to width 128 and dim 16. Half precision rounds each activation to 11 bits, so a velocity is good to about 1 % of
 * its largest component (the state, the time and log p stay f32), and activations beyond 65504 overflow.
 */
export type Precision = "f32" | "f16";

export interface SolveOptions extends CallOptions {
  solver?: Solver;
  divergence?: Divergence;
  /** Seed of whatever the call draws (source particles, probes). Default 0. */
  seed?: number;
  output?: Output;
  precision?: Precision;
}

export interface PushOptions extends SolveOptions {
  /** Default 0. */
  from?: number;
  /** Default 1. */
  to?: number;
  /** Times at which states are kept, each a time of the grid; `"steps"` for all of them. */
  saveAt?: number[] | "steps";
  /** log p at `from`, [n]; or true at `from` = 0, where the source gives it. */
  logProb?: Rows | boolean;
  /** Rows of particles that are passed in a GPUBuffer; default: as many as its size holds. */
  count?: number;
}

/** {@link Output}, or "float64": to the host, in data units of f64. */
export type SampleOutput = Output | "float64";

export interface SampleOptions extends Omit<SolveOptions, "output"> {
  /**
   * Default `"cpu"`. With `"float64"` samples come as Float64Arrays, mean + scale·x in f64: beside a large mean an f32 in data units
   * would keep few of the digits that a sample has.
   */
  output?: SampleOutput;
  /** Default 1. */
  to?: number;
  saveAt?: number[] | "steps";
  /** Whether log p of every sample is wanted. */
  logProb?: boolean;
}

export interface LogProbOptions extends SolveOptions {
  /** The time t of p_t. Default 1. */
  at?: number;
  /** Rows of particles that are passed in a GPUBuffer; default: as many as its size holds. */
  count?: number;
}

export const callKeys = ["chunkSize", "signal", "onProgress", "labels", "context", "guidance"];
export const solveKeys = [...callKeys, "solver", "divergence", "seed", "output", "precision"];

/** A divergence checked against dim and particle count; given vectors come beside it. */
export interface DivergencePlan {
  readonly mode: DivergenceMode;
  readonly vectors?: Float32Array | undefined;
}

export function divergencePlan(
  what: string,
  divergence: Divergence | undefined,
  dim: number,
  n: number,
): DivergencePlan {
  const chosen = divergence ?? (dim <= 16 ? "exact" : { probe: "rademacher" as const });
  if (chosen === "exact") return { mode: { mode: "exact" } };
  if (typeof chosen !== "object" || chosen === null) {
    throw invalid(
      `${what}: divergence is ${show(chosen)}, but it is "exact" or { probe: "rademacher" | "gaussian", probes? }`,
    );
  }
  checkKeys(`${what}: divergence`, chosen, ["probe", "probes", "vectors"]);
  const kind = checkWord(`${what}: divergence.probe`, chosen.probe, ["rademacher", "gaussian"]);
  const vectors = readable(`${what}: divergence.vectors`, chosen.vectors);
  if (vectors === undefined) {
    return {
      mode: { mode: "probes", kind, count: checkInteger(`${what}: divergence.probes`, chosen.probes ?? 1, 1, 4096) },
    };
  }
  if (!(vectors instanceof Float32Array))
    throw invalid(`${what}: divergence.vectors is ${show(vectors)}, but it is a Float32Array [probes, n, dim]`);
  const count = checkInteger(
    `${what}: divergence.probes`,
    chosen.probes ?? (n === 0 ? 1 : vectors.length / (n * dim)),
    1,
    4096,
  );
  if (vectors.length !== count * n * dim) {
    throw invalid(
      `${what}: divergence.vectors has ${vectors.length} values, but ${count} probe(s) for ${n} particles of dim ${dim} need ${count * n * dim}`,
    );
  }
  checkAllFinite(what, "divergence.vectors", vectors, dim);
  return { mode: { mode: "probes", kind: "given", count }, vectors };
}

function isSignal(signal: Partial<AbortSignal> | null): boolean {
  return typeof signal?.throwIfAborted === "function" && typeof signal.addEventListener === "function";
}

/** Checks the options that concern the running of a call. */
export function checkRunOptions(what: string, o: RunOptions): RunOptions {
  if (o.chunkSize !== undefined) checkInteger(`${what}: chunkSize`, o.chunkSize, 1);
  if (o.signal !== undefined && !isSignal(o.signal)) {
    throw invalid(`${what}: signal is ${show(o.signal)}, but it is an AbortSignal: pass new AbortController().signal`);
  }
  if (o.onProgress !== undefined && typeof o.onProgress !== "function") {
    throw invalid(
      `${what}: onProgress is ${show(o.onProgress)}, but it is a function of { done, total, particlesPerSecond, secondsLeft }`,
    );
  }
  return {
    ...(o.chunkSize !== undefined && { chunkSize: o.chunkSize }),
    ...(o.signal !== undefined && { signal: o.signal }),
    ...(o.onProgress !== undefined && { onProgress: o.onProgress }),
  };
}
