import { readable } from "../arrays.ts";
import type { Transform } from "../data/transform.ts";
import { invalid } from "../errors.ts";
import type { TensorNames } from "../io/tensor-names.ts";
import { defaultSolver, type Solver } from "../ode/grid.ts";
import {
  type Check,
  type Checked,
  finite,
  flag,
  functionThat,
  integer,
  later,
  type Schema,
  single,
  type Travels,
  word,
} from "../options/schema.ts";
import { show, singles } from "../options.ts";
import { seedKey } from "../random/philox.ts";
import type { RunOptions } from "../schedule/job.ts";
import { checkVelocity, type FieldVelocity, type TrainableVelocity } from "../velocity/field.ts";
import type { LoadOptions } from "./file.ts";
import type {
  CallOptions,
  Divergence,
  EvaluationOptions,
  LogProbOptions,
  PushOptions,
  SampleOptions,
  SolveOptions,
  StochasticOptions,
} from "./options.ts";
import type { Rows } from "./rows.ts";
import type { FlowOptions } from "./shape.ts";
import type { Normalization, Source } from "./source.ts";

const abortSignal: Check<AbortSignal> = (name, value) => {
  const signal = value as Partial<AbortSignal> | null;
  if (typeof signal?.throwIfAborted === "function" && typeof signal.addEventListener === "function")
    return signal as AbortSignal;
  throw invalid(`${name} is ${show(value)}, but it is an AbortSignal: pass new AbortController().signal`);
};

export const seed: Check<number> = (name, value) => {
  seedKey(value as number, name);
  return value as number;
};

export const objective = word("continuous", "discrete");

/** A time of the flow: finite and within [0, 1], because the field is defined nowhere else. */
export const flowTime = finite(0, 1);

export const runFields = {
  chunkSize: { check: integer(1), travels: "refused" },
  signal: { check: abortSignal, travels: "stays" },
  onProgress: { check: functionThat("of { done, total, particlesPerSecond, secondsLeft }"), travels: "stays" },
} satisfies Schema<RunOptions, Travels>;

export const callFields = {
  ...runFields,
  labels: { check: later<Uint32Array | GPUBuffer>, travels: "particles" },
  context: { check: later<Rows>, travels: "particles" },
  guidance: { check: single(-Infinity, Infinity, singles), travels: "call" },
} satisfies Schema<CallOptions, Travels>;

/** Of an estimate of the divergence. */
export const divergenceFields = {
  probe: { check: word("rademacher", "gaussian"), required: true, travels: "call" },
  probes: { check: integer(1, 4096), travels: "call" },
  vectors: {
    check(name, value) {
      const vectors = readable(name, value);
      if (vectors instanceof Float32Array) return vectors;
      throw invalid(`${name} is ${show(vectors)}, but it is a Float32Array [probes, n, dim]`);
    },
    travels: "particles",
  },
} satisfies Schema<Exclude<Divergence, "exact">, Travels>;

const divergence = { check: later<Divergence>, parts: divergenceFields, travels: "call" } as const;
const count = { check: later<number>, travels: "refused" } as const;

export const evaluationFields = { ...callFields, count } satisfies Schema<EvaluationOptions, Travels>;

/** Of {@link Flow.divergence}. */
export const divergenceCallFields = {
  ...evaluationFields,
  divergence,
  seed: { check: seed, fallback: 0, travels: "call" },
} satisfies Schema<EvaluationOptions & Pick<SolveOptions, "divergence" | "seed">, Travels>;

export const solveFields = {
  ...callFields,
  solver: { check: later<Solver>, fallback: defaultSolver, travels: "call" },
  guidanceInterval: {
    check(name, value) {
      const [from, to, ...more] = Array.isArray(value) ? value : [];
      if (more.length === 0 && 0 <= from && from <= to && to <= 1) return [from, to];
      throw invalid(`${name} is ${show(value)}, but it is two times of [0, 1], the earlier one first`);
    },
    travels: "call",
  },
  divergence,
  objective: { check: objective, travels: "call" },
  seed: { check: seed, fallback: 0, travels: "call" },
  output: { check: word("cpu", "gpu"), travels: "refused" },
  precision: { check: word("f32", "f16"), fallback: "f32", travels: "call" },
} satisfies Schema<SolveOptions, Travels>;

/** A record as it is now; what loads it checks it. */
const sde = {
  check: (_: string, value: unknown) => ({ ...(value as StochasticOptions) }),
  // as spread/noise.ts makes it ready
  travels: "call",
} as const;

export const pushFields = {
  ...solveFields,
  sde,
  from: { check: flowTime, fallback: 0, travels: "call" },
  to: { check: flowTime, fallback: 1, travels: "call" },
  saveAt: { check: later<number[] | "steps">, travels: "call" },
  logProb: { check: (name, value) => readable(name, value as Rows | boolean), travels: "particles" },
  count,
} satisfies Schema<PushOptions, Travels>;

export const sampleFields = {
  ...solveFields,
  sde,
  output: { check: word("cpu", "gpu", "float64"), travels: "call" },
  to: { check: flowTime, fallback: 1, travels: "call" },
  saveAt: { check: later<number[] | "steps">, travels: "call" },
  logProb: { check: flag(": the source's log-density is known"), travels: "call" },
} satisfies Schema<SampleOptions, Travels>;

/** Of {@link Flow.sampleStream}, whose results go to the host. */
export const sampleStreamFields = {
  ...sampleFields,
  output: { check: word("cpu", "float64"), travels: "call" },
} satisfies Schema<SampleOptions, Travels>;

export const logProbFields = {
  ...solveFields,
  at: { check: flowTime, fallback: 1, travels: "call" },
  count,
} satisfies Schema<LogProbOptions, Travels>;

export const flowFields = {
  velocity: { check: later<FlowOptions["velocity"]>, required: true },
  seed: { check: seed, fallback: 0 },
  weights: { check: later<NonNullable<FlowOptions["weights"]>> },
  source: { check: later<Source> },
  normalization: { check: later<Normalization> },
  transform: { check: later<Transform> },
} satisfies Schema<FlowOptions>;

export const loadFields = {
  velocity: {
    check(name, value) {
      const velocity = value as FieldVelocity | null;
      if (velocity?.kind === "wgsl")
        throw invalid(`${name} is of wgslVelocity(…), which has no weights: it is what mlp(…) or network(…) returned`);
      checkVelocity("Flow.load", velocity as FieldVelocity);
      return velocity as TrainableVelocity;
    },
  },
  tensors: {
    check(name, value) {
      if (typeof value === "function" || (typeof value === "object" && value !== null)) return value as TensorNames;
      throw invalid(
        `${name} is ${show(value)}, but it is { ours: theirs } or a function of our name: { "net.0.weight": "fc1.weight" }`,
      );
    },
  },
  onNotice: { check: functionThat<(text: string) => void>("that takes a text") },
} satisfies Schema<LoadOptions>;

export type CheckedEvaluation = Checked<typeof evaluationFields> & Pick<SolveOptions, "divergence" | "seed">;
export type CheckedSolve = Checked<typeof solveFields>;
export type CheckedSample = Checked<typeof sampleFields>;
export type CheckedLogProb = Checked<typeof logProbFields>;
