import { checkTransform, circularAxes, type Transform } from "../data/transform.ts";
import type { DataRows } from "../data/units.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../io/safetensors.ts";
import type { Engine, Evaluation } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { checkVelocity, type FieldVelocity } from "../velocity/field.ts";
import { type Parameters, unflatten } from "../velocity/parameters.ts";
import { chunks, collect } from "./collect.ts";
import type { DensityGrid } from "./density.ts";
import { type Field, fieldOn } from "./field.ts";
import { type CheckedEvaluation, divergenceCallFields, evaluationFields, flowFields, loadFields } from "./fields.ts";
import { type LoadOptions, loadFlow } from "./file.ts";
import type {
  ContinuityOptions,
  DensityGridOptions,
  Divergence,
  EvaluationOptions,
  HistogramOptions,
  LogProbOptions,
  MomentOptions,
  Precision,
  PushOptions,
  SampleOptions,
  SampleOutput,
} from "./options.ts";
import type { Histogram, MeanLogProb, Moments } from "./reductions.ts";
import { logProbRequest, pushRequest, sampleRequest, sampleStreamRequest } from "./requests.ts";
import {
  type DoubleSamples,
  type LogProb,
  logProbResult,
  type ResidentLogProb,
  type ResidentSamples,
  type ResidentTrajectory,
  type Samples,
  type Trajectory,
} from "./results.ts";
import type { DataUnitRows, Rows } from "./rows.ts";
import type { FlowOptions } from "./shape.ts";
import { checkNormalization, type Normalization, type SourceSpec, sourceSpec } from "./source.ts";
import type { StreamChunks } from "./streams.ts";
import type { ContinuityReport, Flux } from "./theory.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** What is not needed to push, sample and score with a narrow network is loaded when it is first used. */
const analysis = () => import("./on-demand.ts");

function checkGpu(what: string, gpu: Gpu): void {
  if (!(gpu instanceof Gpu))
    throw invalid(
      `${what}: the first argument is ${show(gpu)}, but it is what openGpu() resolved to: pass await openGpu()`,
    );
}

/**
 * A velocity field on a device with a source distribution: pushes particles along ẋ = u_t(x), samples, and evaluates log-likelihoods.
 * It owns GPU memory: call `dispose`, or declare it with `using`.
 */
export class Flow {
  readonly velocitySpec: FieldVelocity;
  readonly dim: number;
  /** @internal */ readonly gpu: Gpu;
  /** @internal */ readonly source: SourceSpec;
  /** @internal */ readonly normalization: Normalization | undefined;
  /** @internal */ readonly transform: Transform | undefined;
  readonly #field: Field;
  #disposed = false;

  private constructor(gpu: Gpu, o: FlowOptions) {
    const { velocity } = o;
    this.gpu = gpu;
    this.velocitySpec = velocity;
    this.dim = velocity.dim;
    this.transform = o.transform && checkTransform(o.transform, velocity.dim);
    const circular = circularAxes(this.transform);
    this.source = sourceSpec(o.source, velocity.dim, circular, async (samples, rows) =>
      (await analysis()).readSamples(gpu, samples, rows),
    );
    this.normalization = o.normalization && checkNormalization(o.normalization, velocity.dim, circular);
    this.#field = fieldOn(gpu, o, circular);
  }

  /**
   * A flow from a velocity spec, with the given weights or with initial ones drawn from `seed`.
   *
   * @throws PushforwardError `invalid-argument` for weights, source, normalization or transform that do not fit the spec; `out-of-memory` for a
   * network that is too large for the device.
   * @example
   * import { Flow, mlp, openGpu } from "pushforward";
   * const gpu = await openGpu();
   * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64] }), seed: 1 });
   * const { x } = await flow.sample(1000, { solver: { method: "midpoint", steps: 10 } });
   * gpu.dispose();
   */
  static create(gpu: Gpu, options: FlowOptions): Flow {
    checkGpu("Flow.create", gpu);
    const { velocity } = checked("Flow.create", flowFields, options);
    checkVelocity("Flow.create", velocity);
    return new Flow(gpu, options);
  }

  /**
   * A flow from safetensors bytes: its own files, or any with PyTorch's tensor names when `velocity` is given. Names of another
   * module are mapped by `tensors`, ours → theirs; the prefixes of `torch.compile` and DistributedDataParallel need no map, and
   * integers and booleans beside the weights are ignored.
   *
   * @throws PushforwardError `format` for a file that is damaged or holds something else, `invalid-argument` for the options.
   * @example
   * import { encodeSafetensors, Flow, mlp, openGpu } from "pushforward";
   * const gpu = await openGpu();
   * const tensors = {
   *   "fc1.weight": { shape: [64, 3], data: new Float32Array(192) },
   *   "fc1.bias": { shape: [64], data: new Float32Array(64) },
   *   "fc2.weight": { shape: [2, 64], data: new Float32Array(128) },
   *   "fc2.bias": { shape: [2], data: new Float32Array(2) },
   * };
   * const bytes = encodeSafetensors(tensors); // or a file that PyTorch's safetensors has written
   * const velocity = mlp({ dim: 2, hidden: [64] });
   * const flow = Flow.load(gpu, bytes, { velocity, tensors: (name) => name.replace("net.0", "fc1").replace("net.2", "fc2") });
   * gpu.dispose();
   */
  static load(gpu: Gpu, bytes: Uint8Array, options: LoadOptions = {}): Flow {
    checkGpu("Flow.load", gpu);
    checked("Flow.load", loadFields, options);
    return Flow.create(gpu, loadFlow(bytes, options));
  }

  /** Safetensors bytes: the weights under PyTorch's names, and a metadata field `pushforward` with the spec as JSON. */
  async save(): Promise<Uint8Array> {
    if (this.velocitySpec.kind === "wgsl") {
      throw new PushforwardError("unsupported", "a flow of a wgslVelocity has no weights to save: keep its code");
    }
    await this.source.settled;
    const { saveFlow } = await analysis();
    return saveFlow(this.velocitySpec, await this.weights(), this.source.options, this.normalization, this.transform);
  }

  /** Number of weights and biases. */
  get parameterCount(): number {
    return this.#field.parameters?.count ?? 0;
  }

  /** @internal The parameters on the device. */
  get parameters(): Parameters {
    this.assertAlive();
    return this.#trained();
  }

  #trained(): Parameters {
    const { parameters } = this.#field;
    if (!parameters)
      throw new PushforwardError("unsupported", "a wgslVelocity has no weights: use an mlp or a network");
    return parameters;
  }

  /** Copies of all weights: "net.0.weight" [out, in], "net.0.bias" [out], "net.2.weight", … */
  async weights(): Promise<Record<string, Float32Array>> {
    // not `parameters`: after a loss they may still be here
    const parameters = this.#trained();
    return unflatten(parameters.tensors, await parameters.host());
  }

  /** Replaces all weights. Throws `invalid-argument` when a tensor is missing, unknown, of the wrong size or not finite. */
  setWeights(weights: Record<string, Float32Array | Tensor>): void {
    this.parameters.set(weights);
  }

  /** u_t(x), [n, dim], in the flow's own space. `t` is one time or a time per particle. */
  async velocity(x: Rows, t: number | Float32Array, options: EvaluationOptions = {}): Promise<Float32Array> {
    const checkedOptions = checked("velocity", evaluationFields, options);
    return (await this.#evaluate("velocity", x, t, checkedOptions)).velocity;
  }

  /** div u_t(x) = tr ∂u/∂x, [n]; exact for dim ≤ 16 unless told otherwise, else Hutchinson's estimate with one Rademacher probe. */
  async divergence(
    x: Rows,
    t: number | Float32Array,
    options: EvaluationOptions & { divergence?: Divergence; seed?: number } = {},
  ): Promise<Float32Array> {
    const checkedOptions = checked("divergence", divergenceCallFields, options);
    return (await this.#evaluate("divergence", x, t, checkedOptions)).divergence;
  }

  /** Velocity and J·v, J_ij = ∂u_i/∂x_j, for one tangent v per particle, all [n, dim]. */
  async jvp(
    x: Rows,
    t: number | Float32Array,
    tangent: Rows,
    options: EvaluationOptions = {},
  ): Promise<{ velocity: Float32Array; jvp: Float32Array }> {
    const checkedOptions = checked("jvp", evaluationFields, options);
    const { velocity, product } = await this.#evaluate("jvp", x, t, checkedOptions, tangent);
    return { velocity, jvp: product };
  }

  /** Velocity and Jᵀ·w for one cotangent w per particle, all [n, dim]. */
  async vjp(
    x: Rows,
    t: number | Float32Array,
    cotangent: Rows,
    options: EvaluationOptions = {},
  ): Promise<{ velocity: Float32Array; vjp: Float32Array }> {
    const checkedOptions = checked("vjp", evaluationFields, options);
    const { velocity, product } = await this.#evaluate("vjp", x, t, checkedOptions, cotangent);
    return { velocity, vjp: product };
  }

  /**
   * Solves ẋ = u_t(x) from `from` to `to` (either way) for all rows of `x` [n, dim], in the flow's own space.
   * With `logProb` also d log p/dt = −div u_t (instantaneous change of variables; Chen et al. 2018, eq. 8). `x` may be a GPUBuffer
   * of this device, such as one that `output: "gpu"` gave: see {@link Rows}.
   *
   * @throws PushforwardError `invalid-argument`; a `saveAt` time off the grid names the nearest grid time.
   */
  push(x: Rows, options: PushOptions & { output: "gpu" }): Promise<ResidentTrajectory>;
  push(x: Rows, options?: PushOptions): Promise<Trajectory>;
  async push(x: Rows, options: PushOptions = {}): Promise<Trajectory | ResidentTrajectory> {
    return this.#solve(pushRequest(this, "push", x, options), options);
  }

  /**
   * Draws `count` samples X_to = ψ_to(X_0), X_0 from the source, in data units. Particle i depends on `seed` and i alone.
   *
   * @throws PushforwardError `invalid-argument`.
   */
  sample(count: number, options: SampleOptions & { output: "gpu" }): Promise<ResidentSamples>;
  sample(count: number, options: SampleOptions & { output: "float64" }): Promise<DoubleSamples>;
  sample(count: number, options?: SampleOptions): Promise<Samples>;
  async sample(count: number, options: SampleOptions = {}): Promise<Samples | ResidentSamples | DoubleSamples> {
    return { ...(await this.#solve(sampleRequest(this, "sample", count, options), options)), count };
  }

  /** {@link Flow.sample} as a stream of chunks, in order; host and device memory are bounded by the chunk. */
  sampleStream(
    count: number,
    options: SampleOptions & { output: "float64" },
  ): AsyncIterableIterator<DoubleSamples & { start: number }>;
  sampleStream(
    count: number,
    options?: SampleOptions & { output?: "cpu" },
  ): AsyncIterableIterator<Samples & { start: number }>;
  async *sampleStream(
    count: number,
    options: SampleOptions = {},
  ): AsyncIterableIterator<(Samples | DoubleSamples) & { start: number }> {
    for await (const { start, result } of chunks(this, sampleStreamRequest(this, count, options), options)) {
      yield { ...result, start, count: result.x.length / this.dim };
    }
  }

  /**
   * log p_at(x) of all rows of `x` [n, dim], given in data units: the backward ODE (f, g)' = (u, −div u) from `at` to 0,
   * log p = log p_0(f(0)) − g(0) − Σ log scale. With K ≥ 2 probes each point has a standard error. A Float64Array is centred and
   * scaled in f64: see {@link DataUnitRows}.
   *
   * @throws PushforwardError `invalid-argument`; `unsupported` for WGSL without a divergence of which no derivative can be generated.
   */
  logProb(x: DataUnitRows, options: LogProbOptions & { output: "gpu" }): Promise<ResidentLogProb>;
  logProb(x: DataUnitRows, options?: LogProbOptions): Promise<LogProb>;
  async logProb(x: DataUnitRows, options: LogProbOptions = {}): Promise<LogProb | ResidentLogProb> {
    return logProbResult(await this.#solve(logProbRequest(this, "logProb", x, options), options));
  }

  /**
   * {@link Flow.logProb} of chunks of rows [·, dim] as they come, in order: the bits of one long call. Two chunks are in work at a
   * time and no more are taken before the consumer asks, so memory is bounded by them; an early end closes the producer. What
   * belongs to rows comes with them: chunks may be { x, labels, context }. In `onProgress`, particles are those of a chunk.
   */
  async *logProbStream(
    chunks: StreamChunks,
    options: Omit<LogProbOptions, "output"> = {},
  ): AsyncIterableIterator<LogProb & { start: number }> {
    this.assertAlive();
    yield* (await analysis()).logProbStream(this, chunks, options);
  }

  /** {@link Flow.push} of chunks of rows [·, dim] as they come; see {@link Flow.logProbStream}. */
  async *pushStream(
    chunks: StreamChunks,
    options: Omit<PushOptions, "output"> = {},
  ): AsyncIterableIterator<Trajectory & { start: number }> {
    this.assertAlive();
    yield* (await analysis()).pushStream(this, chunks, options);
  }

  /**
   * Counts of `count` samples in a grid of bins over two axes, in data units, at constant memory: the device counts the samples that
   * {@link Flow.sample} gives with the same options, and only the counts come back. Bins have f32 edges, in
   * the flow's own space where the normalization's mean is far from 0, so that a large offset takes no digits.
   *
   * @throws PushforwardError `invalid-argument`.
   */
  async histogram(count: number, options: HistogramOptions): Promise<Histogram> {
    return (await analysis()).histogram(this, count, options);
  }

  /**
   * Mean and covariance of `count` samples in data units, at constant memory; samples that are not finite are counted apart. The device
   * sums blocks of 1024 samples about their means and the host merges the blocks in f64, so that the bits do not depend on
   * `chunkSize`. With `logProb: true` also the mean of log p over the samples, which is minus the entropy.
   *
   * @throws PushforwardError `invalid-argument`.
   */
  async moments(count: number, options: MomentOptions = {}): Promise<Moments> {
    return (await analysis()).moments(this, count, options);
  }

  /**
   * Mean and standard error of {@link Flow.logProb} over the rows of `x`, or over a stream of chunks, in nats: the held-out
   * log-likelihood of a model. Only sums come back from the device. Rows whose log p is not finite are counted apart.
   *
   * @throws PushforwardError `invalid-argument`; `unsupported` for WGSL without a divergence of which no derivative can be generated.
   */
  async meanLogProb(
    x: DataUnitRows | StreamChunks,
    options: Omit<LogProbOptions, "output"> = {},
  ): Promise<MeanLogProb> {
    this.assertAlive();
    return (await analysis()).meanLogProb(this, x, options);
  }

  /**
   * log p_t and p_t at the centres of a grid of cells over a box, for dim up to 3, and the probability of the box by the midpoint rule:
   * over a box that holds the distribution it is 1. Options are those of {@link Flow.logProb}, with one class or context for all.
   *
   * @throws PushforwardError `invalid-argument`; `unsupported` as {@link Flow.logProb}.
   */
  async densityGrid(options: DensityGridOptions): Promise<DensityGrid> {
    this.assertAlive();
    return (await analysis()).densityGrid(this, options);
  }

  /**
   * p_t, u_t and the probability flux j_t = p_t u_t at the rows of `x` [n, dim], f32 or f64, all in data units: with a normalization u is that of
   * the data, scale·u. p_t comes from {@link Flow.logProb} at `t`.
   */
  async flux(x: DataRows, t: number, options: Omit<LogProbOptions, "at"> = {}): Promise<Flux> {
    return (await analysis()).flux(this, x, t, options);
  }

  /**
   * Checks ∂p/∂t + div(p u) = 0 on the cells of a box (dim ≤ 3), and the balance of its mass, d/dt∫p = −∮⟨j, n⟩: by finite volumes,
   * second order in the cells' size and in the time step, which are what the residual of a good solve consists of. Of a flow with classes
   * or context it is that of one `label` and `context`, the same for all cells; with a transform the box is inside the space of the data.
   */
  async continuity(options: ContinuityOptions): Promise<ContinuityReport> {
    return (await analysis()).continuity(this, options);
  }

  /** @internal */
  assertAlive(): void {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
    this.gpu.assertUsable();
  }

  /** @internal How this flow's field is planned on the device, for solves and all evaluations but Jᵀ·w. */
  forwardEngine(precision: Precision = "f32", evaluations?: number): Promise<Engine> {
    this.assertAlive();
    return this.#field.engines.forward(precision, evaluations);
  }

  /** @internal How Jᵀ·w is planned. */
  reverseEngine(): Promise<Engine> {
    this.assertAlive();
    return this.#field.engines.reverse();
  }

  /** Runs a solve; its results are on the host or on the device, as the options say. */
  async #solve(
    request: TrajectoryRequest,
    options: RunOptions & { output?: SampleOutput },
  ): Promise<Trajectory & { x0?: Float32Array }> {
    if (options.output !== "gpu") return collect(this, request, options);
    return (await analysis()).collectOnDevice(this, request, options);
  }

  async #evaluate(
    output: Evaluation,
    x: Rows,
    t: number | Float32Array,
    options: CheckedEvaluation,
    tangent?: Rows,
  ): Promise<{ velocity: Float32Array; divergence: Float32Array; product: Float32Array }> {
    this.assertAlive();
    return (await analysis()).evaluate(this, output, x, t, options, tangent);
  }

  /** Frees the flow's GPU memory. May be called twice; any other call after it is an error. */
  dispose(): void {
    this.#disposed = true;
    this.#field.parameters?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
