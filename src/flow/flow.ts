import { invalid, PushforwardError } from "../errors.ts";
import { Gpu } from "../gpu/gpu.ts";
import type { Engine } from "../ode/engine.ts";
import { fusedMlpEngine, wgslEngine } from "../ode/fused-engine.ts";
import { defaultSolver, saveIndices, type TimeGrid, timeGrid } from "../ode/grid.ts";
import { layeredEngine } from "../ode/layered-engine.ts";
import { checkFinite, checkInteger, checkKeys, checkWord, show } from "../options.ts";
import { seedKey } from "../random/philox.ts";
import { initialParameters } from "../velocity/initialisation.ts";
import { type MlpVelocity, parameterTensors } from "../velocity/mlp.ts";
import { narrowMlp } from "../velocity/narrow-layout.ts";
import { flatten, Parameters, unflatten } from "../velocity/parameters.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import { type EvaluationRequest, evaluationJob, runEvaluation } from "./evaluation.ts";
import { loadFlow, saveFlow } from "./file.ts";
import {
  type CallOptions,
  callKeys,
  checkConditions,
  checkRunOptions,
  type Divergence,
  divergencePlan,
  particleCount,
  type SolveOptions,
  solveKeys,
} from "./options.ts";
import {
  chunks,
  collect,
  type LogProb,
  type ResidentSamples,
  type ResidentTrajectory,
  type Samples,
  type Trajectory,
} from "./results.ts";
import { checkNormalization, type Normalization, type Source, type SourceSpec, sourceSpec } from "./source.ts";
import type { LogProbMode, TrajectoryRequest } from "./trajectory.ts";

export interface FlowOptions {
  velocity: MlpVelocity | WgslVelocity;
  /** Seed of the initial weights. Default 0. */
  seed?: number;
  /** Initial weights under PyTorch's names; default: drawn from the seed. */
  weights?: Record<string, Float32Array>;
  /** Default N(0, I). */
  source?: Source;
  /** The affine map to data units, as {@link fitNormalization} makes it. */
  normalization?: Normalization;
}

export interface PushOptions extends SolveOptions {
  /** Default 0. */
  from?: number;
  /** Default 1. */
  to?: number;
  /** Times at which states are kept, each a time of the grid; `"steps"` for all of them. */
  saveAt?: number[] | "steps";
  /** log p at `from`, [n]; or true at `from` = 0, where the source gives it. */
  logProb?: Float32Array | boolean;
}

export interface SampleOptions extends SolveOptions {
  /** Default 1. */
  to?: number;
  saveAt?: number[] | "steps";
  /** Whether log p of every sample is wanted. */
  logProb?: boolean;
}

export interface LogProbOptions extends SolveOptions {
  /** The time t of p_t. Default 1. */
  at?: number;
}

/**
 * A velocity field on a device with a source distribution: pushes particles along ẋ = u_t(x), samples, and evaluates log-likelihoods.
 * It owns GPU memory: call `dispose`, or declare it with `using`.
 */
export class Flow {
  readonly velocitySpec: MlpVelocity | WgslVelocity;
  readonly dim: number;
  /** @internal */ readonly gpu: Gpu;
  /** @internal */ readonly source: SourceSpec;
  /** @internal */ readonly normalization: Normalization | undefined;
  readonly #parameters: Parameters | undefined;
  readonly #engine: Engine;
  readonly #layered: Engine | undefined;
  #disposed = false;

  private constructor(gpu: Gpu, o: FlowOptions) {
    const { velocity } = o;
    this.gpu = gpu;
    this.velocitySpec = velocity;
    this.dim = velocity.dim;
    this.source = sourceSpec(o.source, velocity.dim);
    this.normalization = o.normalization && checkNormalization(o.normalization, velocity.dim);
    if (velocity.kind === "wgsl") {
      if (o.weights !== undefined)
        throw invalid("Flow.create: weights were given, but a wgslVelocity has none: leave them out");
      this.#engine = wgslEngine(velocity);
      return;
    }
    const initial =
      o.weights === undefined
        ? initialParameters(velocity, o.seed ?? 0)
        : flatten(parameterTensors(velocity), o.weights);
    this.#parameters = new Parameters(gpu, velocity, initial);
    this.#layered = layeredEngine(gpu, velocity, this.#parameters);
    const narrow = narrowMlp(velocity);
    this.#engine = narrow ? fusedMlpEngine(gpu, velocity, narrow, this.#parameters) : this.#layered;
  }

  /**
   * A flow from a velocity spec, with the given weights or with initial ones drawn from `seed`.
   *
   * @throws PushforwardError `invalid-argument` for weights, source or normalization that do not fit the spec.
   * @example
   * import { Flow, mlp, openGpu } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64] }), seed: 1 });
   * const { x } = await flow.sample(1000, { solver: { method: "midpoint", steps: 10 } });
   * gpu.dispose();
   */
  static create(gpu: Gpu, options: FlowOptions): Flow {
    if (!(gpu instanceof Gpu))
      throw invalid(`Flow.create: the first argument is ${show(gpu)}, but it is what openGpu() resolved to`);
    checkKeys("Flow.create", options, ["velocity", "seed", "weights", "source", "normalization"]);
    const { velocity } = options;
    if (velocity?.kind !== "mlp" && velocity?.kind !== "wgsl") {
      throw invalid(`Flow.create: velocity is ${show(velocity)}, but it is what mlp(…) or wgslVelocity(…) returned`);
    }
    if (options.seed !== undefined) seedKey(options.seed);
    return new Flow(gpu, options);
  }

  /**
   * A flow from safetensors bytes: its own files, or any with PyTorch's tensor names when `velocity` is given.
   *
   * @throws PushforwardError `format` for a file that is damaged or holds something else.
   */
  static load(gpu: Gpu, bytes: Uint8Array, options: { velocity?: MlpVelocity } = {}): Flow {
    checkKeys("Flow.load", options, ["velocity"]);
    return Flow.create(gpu, loadFlow(bytes, options.velocity));
  }

  /** Safetensors bytes: the weights under PyTorch's names, and a metadata field `pushforward` with the spec as JSON. */
  async save(): Promise<Uint8Array> {
    if (this.velocitySpec.kind !== "mlp") {
      throw new PushforwardError("unsupported", "a flow of a wgslVelocity has no weights to save: keep its code");
    }
    return saveFlow(this.velocitySpec, await this.weights(), this.source.options, this.normalization);
  }

  /** Number of weights and biases. */
  get parameterCount(): number {
    return this.#parameters?.count ?? 0;
  }

  /** @internal The parameters on the device. */
  get parameters(): Parameters {
    this.#assertAlive();
    if (!this.#parameters) throw new PushforwardError("unsupported", "a wgslVelocity has no weights: use an mlp");
    return this.#parameters;
  }

  /** @internal How this flow's field is planned on the device. */
  get engine(): Engine {
    this.#assertAlive();
    return this.#engine;
  }

  /** Copies of all weights: "net.0.weight" [out, in], "net.0.bias" [out], "net.2.weight", … */
  async weights(): Promise<Record<string, Float32Array>> {
    const parameters = this.parameters;
    return unflatten(parameters.tensors, await parameters.host());
  }

  /** Replaces all weights. Throws `invalid-argument` when a tensor is missing, unknown, of the wrong size or not finite. */
  setWeights(weights: Record<string, Float32Array>): void {
    this.parameters.set(weights);
  }

  /** u_t(x), [n, dim], in the flow's own space. `t` is one time or a time per particle. */
  async velocity(x: Float32Array, t: number | Float32Array, options: CallOptions = {}): Promise<Float32Array> {
    checkKeys("velocity", options, callKeys);
    return (await this.#evaluate("velocity", x, t, options)).velocity;
  }

  /** div u_t(x) = tr ∂u/∂x, [n]; exact for dim ≤ 16 unless told otherwise, else Hutchinson's estimate with one Rademacher probe. */
  async divergence(
    x: Float32Array,
    t: number | Float32Array,
    options: CallOptions & { divergence?: Divergence; seed?: number } = {},
  ): Promise<Float32Array> {
    checkKeys("divergence", options, [...callKeys, "divergence", "seed"]);
    return (await this.#evaluate("divergence", x, t, options)).divergence;
  }

  /** Velocity and J·v, J_ij = ∂u_i/∂x_j, for one tangent v per particle, all [n, dim]. */
  async jvp(
    x: Float32Array,
    t: number | Float32Array,
    tangent: Float32Array,
    options: CallOptions = {},
  ): Promise<{ velocity: Float32Array; jvp: Float32Array }> {
    checkKeys("jvp", options, callKeys);
    const { velocity, product } = await this.#evaluate("jvp", x, t, options, tangent);
    return { velocity, jvp: product };
  }

  /** Velocity and Jᵀ·w for one cotangent w per particle, all [n, dim]. */
  async vjp(
    x: Float32Array,
    t: number | Float32Array,
    cotangent: Float32Array,
    options: CallOptions = {},
  ): Promise<{ velocity: Float32Array; vjp: Float32Array }> {
    checkKeys("vjp", options, callKeys);
    const { velocity, product } = await this.#evaluate("vjp", x, t, options, cotangent);
    return { velocity, vjp: product };
  }

  /**
   * Solves ẋ = u_t(x) from `from` to `to` (either way) for all rows of `x` [n, dim], in the flow's own space.
   * With `logProb` also d log p/dt = −div u_t (instantaneous change of variables; Chen et al. 2018, eq. 8).
   *
   * @throws PushforwardError `invalid-argument`; a `saveAt` time off the grid names the nearest grid time.
   */
  push(x: Float32Array, options: PushOptions & { output: "gpu" }): Promise<ResidentTrajectory>;
  push(x: Float32Array, options?: PushOptions): Promise<Trajectory>;
  async push(x: Float32Array, options: PushOptions = {}): Promise<Trajectory | ResidentTrajectory> {
    checkKeys("push", options, [...solveKeys, "from", "to", "saveAt", "logProb"]);
    const n = particleCount("push", "x", x, this.dim);
    const from = this.#time("push: from", options.from ?? 0);
    const { logProb } = options;
    let mode: LogProbMode = { kind: "none" };
    if (logProb instanceof Float32Array) {
      if (logProb.length !== n)
        throw invalid(
          `push: logProb has ${logProb.length} values, but there are ${n} particles: pass log p at \`from\` for each`,
        );
      mode = { kind: "forward", start: logProb };
    } else if (logProb === true) {
      if (from !== 0) {
        throw invalid(
          `push: logProb is true, but at from = ${from} only the caller can know log p: pass it as a Float32Array [n] (logProb(x, { at: ${from} }) computes it)`,
        );
      }
      mode = { kind: "forward", start: "source" };
    } else if (logProb !== undefined && logProb !== false) {
      throw invalid(`push: logProb is ${show(logProb)}, but it is a Float32Array [n], true or false`);
    }
    const request = this.#request("push", n, options, from, this.#time("push: to", options.to ?? 1), { rows: x }, mode);
    return collect(this.gpu, await this.#shared(), request, options);
  }

  /**
   * Draws `count` samples X_to = ψ_to(X_0), X_0 from the source, in data units. Particle i depends on `seed` and i alone.
   *
   * @throws PushforwardError `invalid-argument`.
   */
  sample(count: number, options: SampleOptions & { output: "gpu" }): Promise<ResidentSamples>;
  sample(count: number, options?: SampleOptions): Promise<Samples>;
  async sample(count: number, options: SampleOptions = {}): Promise<Samples | ResidentSamples> {
    const request = this.#sampleRequest("sample", count, options, 0);
    const result = await collect(this.gpu, await this.#shared(), request, options);
    return { ...result, count };
  }

  /** {@link Flow.sample} as a stream of chunks, in order; host and device memory are bounded by the chunk. */
  async *sampleStream(
    count: number,
    options: Omit<SampleOptions, "output"> = {},
  ): AsyncIterableIterator<Samples & { start: number }> {
    checkKeys("sampleStream", options, [...solveKeys.filter((key) => key !== "output"), "to", "saveAt", "logProb"]);
    const request = this.#sampleRequest("sampleStream", count, options, 0);
    for await (const { start, result } of chunks(this.gpu, await this.#shared(), request, options)) {
      yield { ...result, start, count: result.x.length / this.dim };
    }
  }

  /**
   * log p_at(x) of all rows of `x` [n, dim], given in data units: the backward ODE (f, g)' = (u, −div u) from `at` to 0,
   * log p = log p_0(f(0)) − g(0) − Σ log scale. With K ≥ 2 probes each point has a standard error.
   *
   * @throws PushforwardError `invalid-argument`; `unsupported` for a WGSL field without a divergence.
   */
  async logProb(x: Float32Array, options: LogProbOptions = {}): Promise<LogProb> {
    checkKeys("logProb", options, [...solveKeys.filter((key) => key !== "output"), "at"]);
    const n = particleCount("logProb", "x", x, this.dim);
    const at = this.#time("logProb: at", options.at ?? 1);
    const request = this.#request("logProb", n, options, at, 0, { rows: x }, { kind: "backward" });
    const result = await collect(
      this.gpu,
      await this.#shared(),
      { ...request, unitsIn: "data" },
      { ...options, output: "cpu" },
    );
    return {
      logProb: result.logProb ?? new Float32Array(0),
      x0: result.x,
      ...(result.standardError && { standardError: result.standardError }),
      nfe: result.nfe,
      nonFinite: result.nonFinite,
    };
  }

  #assertAlive(): void {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
    this.gpu.assertUsable();
  }

  /** A time of the flow: finite and within [0, 1], because the field is defined nowhere else. */
  #time(what: string, t: number): number {
    return checkFinite(what, t, 0, 1);
  }

  get #conditioning(): { classes: number; context: number } {
    return this.velocitySpec.kind === "mlp" ? this.velocitySpec : { classes: 0, context: 0 };
  }

  #shared(engine: Engine = this.#engine): Promise<ReadonlyMap<string, GPUBuffer>> {
    this.#assertAlive();
    return engine.shared();
  }

  #request(
    what: string,
    n: number,
    options: PushOptions,
    from: number,
    to: number,
    start: TrajectoryRequest["start"],
    logProb: LogProbMode,
  ): TrajectoryRequest {
    this.#assertAlive();
    checkRunOptions(what, options);
    if (options.output !== undefined) checkWord(`${what}: output`, options.output, ["cpu", "gpu"]);
    seedKey(options.seed ?? 0);
    const grid: TimeGrid = timeGrid(what, options.solver ?? defaultSolver, from, to);
    return {
      what,
      count: n,
      engine: this.#engine,
      source: this.source,
      grid,
      start,
      save: saveIndices(what, grid, options.saveAt),
      logProb,
      divergence: divergencePlan(what, options.divergence, this.dim, n),
      seed: options.seed ?? 0,
      conditions: checkConditions(what, options, n, this.#conditioning),
      normalization: this.normalization,
      unitsIn: "flow",
      unitsOut: "flow",
      wantStart: false,
    };
  }

  #sampleRequest(what: string, count: number, options: SampleOptions, first: number): TrajectoryRequest {
    checkKeys(what, options, [...solveKeys, "to", "saveAt", "logProb"]);
    checkInteger(`${what}: count`, count, 0);
    if (options.logProb !== undefined && typeof options.logProb !== "boolean") {
      throw invalid(
        `${what}: logProb is ${show(options.logProb)}, but it is true or false: the source's log-density is known`,
      );
    }
    const seed = options.seed ?? 0;
    const mode: LogProbMode = options.logProb === true ? { kind: "forward", start: "source" } : { kind: "none" };
    const request = this.#request(
      what,
      count,
      options,
      0,
      this.#time(`${what}: to`, options.to ?? 1),
      { seed, first },
      mode,
    );
    return { ...request, unitsOut: "data", wantStart: true };
  }

  async #evaluate(
    output: EvaluationRequest["output"],
    x: Float32Array,
    t: number | Float32Array,
    options: CallOptions & { divergence?: Divergence; seed?: number },
    tangent?: Float32Array,
  ): Promise<{ velocity: Float32Array; divergence: Float32Array; product: Float32Array }> {
    this.#assertAlive();
    const n = particleCount(output, "x", x, this.dim);
    if (t instanceof Float32Array) {
      if (t.length !== n)
        throw invalid(
          `${output}: t has ${t.length} values, but there are ${n} particles: pass one time, or one per particle`,
        );
      const bad = t.findIndex((time) => !Number.isFinite(time));
      if (bad >= 0) throw invalid(`${output}: t[${bad}] is ${t[bad]}, but a time is a finite number`);
    } else checkFinite(`${output}: t`, t);
    if (output === "jvp" || output === "vjp") {
      const name = output === "jvp" ? "tangent" : "cotangent";
      if (particleCount(output, name, tangent, this.dim) !== n) {
        throw invalid(`${output}: ${name} has ${tangent?.length} values, but it has the shape of x, ${x.length}`);
      }
    }
    const engine = output === "vjp" ? (this.#layered ?? this.#engine) : this.#engine;
    const request: EvaluationRequest = {
      output,
      engine,
      count: n,
      x,
      t,
      tangent,
      divergence: divergencePlan(output, options.divergence, this.dim, n),
      seed: options.seed ?? 0,
      conditions: checkConditions(output, options, n, this.#conditioning),
    };
    return runEvaluation(
      this.gpu,
      evaluationJob(request, await this.#shared(engine), this.gpu),
      checkRunOptions(output, options),
    );
  }

  /** Frees the flow's GPU memory. May be called twice; any other call after it is an error. */
  dispose(): void {
    this.#disposed = true;
    this.#parameters?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
