import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { must } from "../must.ts";
import {
  type Chunk,
  type Conditions,
  chunkOf,
  type DivergenceMode,
  type Engine,
  type Evaluation,
  largestChunk,
  names,
} from "../ode/engine.ts";
import { planProbes } from "../ode/probes.ts";
import { checkSingle, singles } from "../options.ts";
import { seedKey } from "../random/philox.ts";
import type { ChunkPlan, Job, JobMaker, RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { checkConditions } from "./conditions.ts";
import { type DivergencePlan, divergencePlan } from "./divergence.ts";
import type { CheckedEvaluation } from "./fields.ts";
import { joined } from "./part.ts";
import { checkAllFinite, checkLength, type Rows, rowCount } from "./rows.ts";
import { conditioning, type FlowOnDevice } from "./shape.ts";
import { jobOn } from "./solve-job.ts";
import { planExport, planImport } from "./states.ts";

/** One evaluation of the field at given states and times. */
interface EvaluationRequest {
  readonly output: Evaluation;
  readonly engine: Engine;
  readonly count: number;
  readonly x: Rows;
  readonly t: number | Float32Array;
  readonly tangent?: Rows | undefined;
  readonly divergence: DivergencePlan;
  readonly seed: number;
  readonly conditions: Conditions;
}

/** The evaluation as a job. Its outputs are `velocity`, `product` (both [n, dim]) or `divergence` ([n]). */
function evaluationJob(request: EvaluationRequest, shared: Shared, maxBindingBytes: number): Job {
  const { engine, output } = request;
  const { dim } = engine;
  const mode = modeOf(request);
  const probes = mode.mode === "probes" ? mode.count : 0;
  const scratch = engine.scratchFloats(output === "divergence" ? mode : output);
  const flops =
    output === "divergence" ? engine.divergenceFlops(mode) : output === "velocity" ? engine.flops : 3 * engine.flops;
  return {
    what: output,
    family: `${engine.family}|${output}`,
    count: request.count,
    bytesPerParticle: 4 * (6 * dim + 2 + probes * dim + scratch),
    flopsPerParticle: flops,
    largestChunk: largestChunk(maxBindingBytes, Math.max(dim, probes * dim, scratch)),
    shared,
    plan: (...chunk) => planEvaluation(request, chunkOf(...chunk)),
  };
}

const modeOf = ({ output, divergence }: EvaluationRequest): DivergenceMode =>
  output === "divergence" ? divergence.mode : { mode: "none" };

/** States and times, probes or tangents, the evaluation, and what it gives as rows. */
function planEvaluation(request: EvaluationRequest, chunk: Chunk): ChunkPlan {
  const { engine, output, x, t, tangent, conditions, divergence, count: total } = request;
  const { dim } = engine;
  const { start, count, capacity } = chunk;
  const mode = modeOf(request);
  const isAtOneTime = typeof t === "number";
  const times = new Float32Array(capacity).fill(isAtOneTime ? t : 0);
  if (!isAtOneTime) times.set(t.subarray(start, start + count));
  const states = (name: string) => ({ name, bytes: dim * capacity * 4 });
  const isProduct = output === "jvp" || output === "vjp";
  const rows = output === "divergence" ? [] : isProduct ? [names.velocity, names.product] : [names.velocity];
  const result = { name: names.divergence, bytes: count * 4 };
  return joined([
    {
      buffers: [
        states(names.state),
        { name: names.times, bytes: times.byteLength, data: times },
        ...engine.buffers(chunk, conditions, output === "divergence" ? mode : output, 0, isAtOneTime),
      ],
    },
    planImport(x, chunk, dim),
    isProduct && { buffers: [states(names.tangent)] },
    isProduct && planImport(must(tangent, "the tangent"), chunk, dim, { rows: "tangent rows", state: names.tangent }),
    planProbes({ ...divergence, mode, total, dim, chunk, first: start, key: seedKey(request.seed) }),
    {
      dispatches: [
        ...engine.begin(chunk, conditions),
        ...engine.evaluate(chunk, conditions, output, mode, isAtOneTime),
      ],
    },
    output === "divergence" && { buffers: [{ name: names.divergence, bytes: capacity * 4 }], outputs: [result] },
    ...rows.map((state) => {
      const own = { name: `${state} rows`, bytes: count * dim * 4 };
      const dispatches = [planExport(chunk, dim, own.name, { state })];
      return { buffers: [states(state), own], dispatches, outputs: [own] };
    }),
  ]);
}

/** Checks the arrays of an evaluation, whose options are checked, and runs it; arrays that it does not produce are empty. */
export async function evaluate(
  flow: FlowOnDevice,
  output: Evaluation,
  givenX: Rows,
  givenT: number | Float32Array,
  options: CheckedEvaluation,
  givenTangent?: Rows,
): Promise<{ velocity: Float32Array; divergence: Float32Array; product: Float32Array }> {
  const x = readable(`${output}: x`, givenX);
  const t = readable(`${output}: t`, givenT);
  const tangent = readable(`${output}: ${output === "jvp" ? "tangent" : "cotangent"}`, givenTangent);
  const n = rowCount(output, "x", x, flow.dim, options.count);
  if (t instanceof Float32Array) {
    if (t.length !== n)
      throw invalid(
        `${output}: t has ${t.length} values, but there are ${n} particles: pass one time, or one per particle`,
      );
    const bad = t.findIndex((time) => !Number.isFinite(time));
    if (bad >= 0) throw invalid(`${output}: t[${bad}] is ${t[bad]}, but a time is a finite number`);
  } else checkSingle(`${output}: t`, t, -Infinity, Infinity, singles);
  if (output === "jvp" || output === "vjp") {
    const name = output === "jvp" ? "tangent" : "cotangent";
    checkLength(output, name, tangent, n, flow.dim, options.count);
    if (tangent instanceof Float32Array) checkAllFinite(output, name, tangent, flow.dim);
  }
  const request: Omit<EvaluationRequest, "engine"> = {
    output,
    count: n,
    x,
    t,
    tangent,
    divergence: divergencePlan(output, options.divergence, flow.dim, n),
    seed: options.seed ?? 0,
    conditions: checkConditions(output, options, n, conditioning(flow), true),
  };
  const engine = await (output === "vjp" ? flow.reverseEngine() : flow.forwardEngine());
  const { labels, context } = request.conditions;
  const rows = { x, [output === "vjp" ? "cotangent" : "tangent"]: tangent, labels, context };
  const makeJob = async (session: Session) => {
    const binding = session.device.limits.maxStorageBufferBindingSize;
    return jobOn(flow, session, output, rows, await engine.shared(session), (shared) =>
      evaluationJob({ ...request, engine }, shared, binding),
    );
  };
  return gather(flow.gpu, n, makeJob, options);
}

async function gather(gpu: Gpu, count: number, makeJob: JobMaker, options: RunOptions) {
  const parts: Record<"velocity" | "divergence" | "product", Float32Array[]> = {
    velocity: [],
    divergence: [],
    product: [],
  };
  for await (const { outputs } of runJob(gpu, count, makeJob, options)) {
    for (const [name, bytes] of outputs) {
      const key = name.replace(" rows", "");
      if (key === "velocity" || key === "divergence" || key === "product") parts[key].push(new Float32Array(bytes));
    }
  }
  return {
    velocity: concatenate(parts.velocity),
    divergence: concatenate(parts.divergence),
    product: concatenate(parts.product),
  };
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
