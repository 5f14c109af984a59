import type { Precision } from "../ode/engine.ts";
import type { Solver } from "../ode/grid.ts";
import type { Path, PathName } from "../path/names.ts";
import type { RunOptions } from "../schedule/job.ts";
import type { Cells } from "./cells.ts";
import type { Rows } from "./rows.ts";

export type { Precision } from "../ode/engine.ts";

/** `"exact"` (default for dim ≤ 16), or Hutchinson's estimate ZᵀJZ with K probes, drawn once per particle and solve, or given as [K, n, dim]. */
export type Divergence = "exact" | { probe: "rademacher" | "gaussian"; probes?: number; vectors?: Float32Array };

/**
 * What log p is of (docs/mathematics.md, Likelihood): `"continuous"` is the flow's, by the integral of the divergence, to the error of the
 * solver; `"discrete"` is that of the very map that the solver's steps compute, Σ log|det ∂x_{k+1}/∂x_k|, exact however few they are.
 */
export type Objective = "continuous" | "discrete";

/** Options of every call on many particles. */
export interface CallOptions extends RunOptions {
  /** Class of each particle, [n], or one for all, [1]; in a GPUBuffer as u32, of which one that no class has is the null class. */
  labels?: Uint32Array | GPUBuffer;
  /**
   * Context of each particle, row-major [n, context], or one row for all, [context]. In a GPUBuffer it is not looked at: a NaN there need not show in the results, where
   * a network multiplies it by zero, say.
   */
  context?: Rows;
  /**
   * w of (1 − w)·u_null + w·u_label. Default 1. The null class is no label; in a network with context and without classes u_null is
   * that of a context of zeros.
   */
  guidance?: number;
}

/** Options of evaluations of the field at given particles. */
export interface EvaluationOptions extends CallOptions {
  /** Rows of particles that are passed in a GPUBuffer; default: as many as its size holds. */
  count?: number;
}

/**
 * Where the results of a call go: to the host, or into buffers that stay on the device and belong to the caller. These have the usages
 * STORAGE, UNIFORM, VERTEX, COPY_SRC and COPY_DST, so that a page draws from them as they are: `x` of a flow of dim 2 is a vertex
 * buffer of `float32x2` with a stride of 8 bytes.
 */
export type Output = "cpu" | "gpu";

/** A flow, whose velocity is the score ∇log p_t here: one that was trained with `predict: "score"`. */
export interface ScoreField {
  readonly dim: number;
  velocity(x: Rows, t: number | Float32Array): Promise<Float32Array>;
}

/**
 * Noise along the paths: dx = (u + ½ g² ∇log p_t) dt + g dW, whose particles have the densities of the flow whatever g is (Song et al. 2021,
 * §4.3; Albergo et al. 2023, §2), backward in time as well. `solver` is `{ method: "euler" }`, which is Euler–Maruyama's, or
 * `{ method: "heun2" }`, the stochastic Heun method (default, 100 steps). Particle i has the same noise however a call is split; with g = 0
 * the bits are those of the ODE.
 *
 * Without `score` this is for flows from a Gaussian source that were trained with independent pairs, whose velocity tells the score.
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32] }) });
 * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 20 })) console.log(loss);
 * const sde = { diffusion: (t: number) => Math.sqrt(1 - t) };
 * const { x } = await flow.sample(100, { sde, solver: { method: "heun2", steps: 50 }, seed: 3 });
 * gpu.dispose();
 */
export interface StochasticOptions {
  /** g ≥ 0, in the flow's own space per √(unit of time): one number, or a function of t. */
  diffusion: number | ((t: number) => number);
  /** The path that the flow was trained on. Default `"conditional-optimal-transport"`. */
  path?: PathName | Path;
  /** What the score is from, where it does not follow from the velocity. */
  score?: ScoreField;
}

export interface SolveOptions extends CallOptions {
  solver?: Solver;
  /**
   * Times between which `guidance` holds (Kynkäänniemi et al. 2024); it is 1 in steps whose middle is outside. For solvers of fixed steps.
   * Default: all.
   */
  guidanceInterval?: [from: number, to: number];
  divergence?: Divergence;
  /** Default `"continuous"`. `"discrete"` is for fixed steps and dim ≤ 3. */
  objective?: Objective;
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
  /** Noise along the paths; default: none. */
  sde?: StochasticOptions;
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
  /** Noise along the paths; default: none. */
  sde?: StochasticOptions;
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

export type ReductionOptions = Omit<SampleOptions, "output" | "saveAt" | "logProb">;

export interface MomentOptions extends ReductionOptions {
  /** Whether the mean of log p over the samples is wanted, which is minus the entropy of p. */
  logProb?: boolean;
}

export interface HistogramOptions extends ReductionOptions {
  /** The two axes. Default [0, 1]. */
  axes?: [x: number, y: number];
  /** Bins along each of the two axes. */
  bins: [x: number, y: number];
  /** Low and high end of each of the two axes, in data units. A bin holds its low end, not its high end. */
  range: [x: [low: number, high: number], y: [low: number, high: number]];
}

/** One class and context for all cells of a grid. */
interface CellConditions {
  /** The class of all cells, for fields with classes. */
  label?: number;
  /** The context of all cells, [context], for fields with context. */
  context?: Float32Array;
}

export interface DensityGridOptions
  extends Cells,
    CellConditions,
    Omit<LogProbOptions, "output" | "count" | "labels" | "context"> {}

export interface ContinuityOptions
  extends Cells,
    CellConditions,
    Omit<LogProbOptions, "at" | "output" | "count" | "labels" | "context"> {
  t: number;
  /** Step of the time difference. Default 0.01: its error, of order step², is then about that of f32. */
  timeStep?: number;
}
