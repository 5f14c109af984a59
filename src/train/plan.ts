import { readable } from "../arrays.ts";
import { lossIn } from "../data/resolution.ts";
import type { DataRows } from "../data/units.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkRunOptions } from "../flow/options.ts";
import { checkAllFinite } from "../flow/rows.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { checkFinite, checkInteger, checkKeys, checkSingle, checkWord, mebibytes, show, singles } from "../options.ts";
import { type Path, type PathName, pathNames } from "../path/names.ts";
import { seedKey } from "../random/philox.ts";
import type { MlpVelocity } from "../velocity/mlp.ts";
import type { AdamSettings } from "./dispatches.ts";
import { largestBatch } from "./largest-batch.ts";
import type { FlowMatchingOptions, Optimizer, TrainingOptions } from "./options.ts";

/** Checked options of a training run. */
export interface TrainingPlan {
  readonly velocity: MlpVelocity;
  readonly rows: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly learningRate: (step: number) => number;
  readonly settings: AdamSettings;
  readonly key: readonly [number, number];
  readonly logEvery: number;
}

export interface FlowMatchingPlan extends TrainingPlan {
  /** A path other than the straight one. */
  readonly path: PathName | Path | undefined;
  readonly labelDropout: number;
  /** Whether samples are paired by optimal transport. */
  readonly coupled: boolean;
}

const keys = [
  "steps",
  "batchSize",
  "learningRate",
  "optimizer",
  "labels",
  "context",
  "ema",
  "gradientClip",
  "seed",
  "logEvery",
  "signal",
  "checkpoint",
  "resume",
  "onProgress",
  "validation",
];

/** The options of a training with the arrays among them, and among those of its validation, as they can be read; see {@link readable}. */
export function readableOptions<O extends TrainingOptions>(what: string, o: O): O {
  const parts = (prefix: string, record: object): object =>
    Object.fromEntries(
      Object.entries(record).map(([key, value]) => {
        const isRecord = key === "validation" && typeof value === "object" && value !== null;
        return [key, isRecord ? parts(`${prefix}${key}.`, value) : readable(prefix + key, value)];
      }),
    );
  return typeof o === "object" && o !== null ? (parts(`${what}: `, o) as O) : o;
}

/** The MLP of a flow; other fields have nothing to train. */
export function trainableVelocity(caller: string, flow: Flow): MlpVelocity {
  const kind: unknown = flow?.velocitySpec?.kind;
  if (kind !== "mlp" && kind !== "wgsl")
    throw invalid(
      `${caller}: the first argument is ${show(flow)}, but it is a flow: pass what Flow.create(…) or Flow.load(…) returned`,
    );
  if (flow.velocitySpec.kind !== "mlp")
    throw new PushforwardError("unsupported", `${caller}: a wgslVelocity has no weights to train: use an mlp`);
  return flow.velocitySpec;
}

/** The rows of a training are in one buffer on the device, and so is their context. */
export function checkRowsFit(what: string, flow: Flow, { rows, velocity }: TrainingPlan): void {
  const width = Math.max(velocity.dim, velocity.context);
  const room = largestBinding(flow.gpu.device.limits);
  if (rows * width * 4 <= room) return;
  throw new PushforwardError(
    "out-of-memory",
    `${what}: ${rows.toLocaleString("en-US")} rows of ${width} values take ${mebibytes(rows * width * 4)}, but this device binds at most ${mebibytes(room)} to a kernel, ${Math.floor(room / (width * 4)).toLocaleString("en-US")} rows: train on a random part of them, or on one part after another by calls of fewer steps`,
  );
}

/** Checks the data and the options of any training, `more` being keys of its own; every fault is told before anything runs. */
export function trainingPlan(
  what: string,
  flow: Flow,
  data: DataRows,
  o: TrainingOptions,
  more: readonly string[],
): TrainingPlan {
  const velocity = trainableVelocity(what, flow);
  const { dim } = velocity;
  checkKeys(what, o, [...keys, ...more]);
  const isArray = data instanceof Float32Array || data instanceof Float64Array;
  if (!isArray || data.length === 0 || data.length % dim !== 0) {
    throw invalid(
      `${what}: data is ${show(data)}, but a flow of dim ${dim} trains on a row-major [n, ${dim}] Float32Array or Float64Array of at least one row`,
    );
  }
  checkAllFinite(what, "data", data, dim);
  checkResolved(what, flow, data);
  const rows = data.length / dim;
  const { labels } = o;
  const given = { ...(labels !== undefined && { labels }), ...(o.context !== undefined && { context: o.context }) };
  const { context } = onHost(what, checkConditions(what, given, rows, velocity));
  if (context) checkAllFinite(what, "context", context, velocity.context);
  checkRunOptions(what, o);
  const rate = o.learningRate ?? 1e-3;
  if (typeof rate !== "function") checkSingle(`${what}: learningRate`, rate, 0, Infinity, singles);
  // an average that never moves would keep the initial weights
  const ema = o.ema === undefined ? undefined : checkFinite(`${what}: ema`, o.ema, 0, 0.9999999);
  const clip =
    o.gradientClip === undefined
      ? undefined
      : checkSingle(`${what}: gradientClip`, o.gradientClip, 1e-30, Infinity, singles);
  return {
    velocity,
    rows,
    steps: checkInteger(`${what}: steps`, o.steps, 1),
    batchSize: checkInteger(`${what}: batchSize`, o.batchSize ?? 1024, 1, largestBatch),
    learningRate:
      typeof rate === "function"
        ? (step) => checkFinite(`${what}: learningRate(${step})`, rate(step), 0, 3e38)
        : () => rate,
    settings: { ...optimizerSettings(what, o.optimizer ?? "adam"), ema, gradientClip: clip },
    key: seedKey(o.seed ?? 0),
    logEvery: checkInteger(`${what}: logEvery`, o.logEvery ?? 100, 1),
  };
}

/** Throws for a column of which f32 has lost too much. */
function checkResolved(what: string, { dim, normalization }: Flow, data: DataRows): void {
  for (let column = 0; column < dim; column++) {
    const loss = lossIn(data, dim, column, normalization);
    if (loss === undefined) continue;
    const isRounded = data instanceof Float32Array || normalization === undefined;
    throw invalid(
      `${what}: column ${column} (from 0) of data ${loss}: ` +
        (isRounded
          ? "pass the data as a Float64Array, and give the flow normalization: fitNormalization(data, dim), which takes the offset off before anything is f32"
          : "leave that column or those values out, or take an offset off"),
    );
  }
}

/** The options of flow matching, checked. */
export function flowMatchingPlan(flow: Flow, data: DataRows, o: FlowMatchingOptions): FlowMatchingPlan {
  const what = "trainFlowMatching";
  const plan = trainingPlan(what, flow, data, o, ["path", "coupling", "labelDropout"]);
  const { velocity } = plan;
  const { path = pathNames[0] } = o;
  // what the functions of one's own path give is checked where they are used
  if (typeof path !== "object" || path === null) checkWord(`${what}: path`, path, pathNames);
  const coupled =
    checkWord(`${what}: coupling`, o.coupling ?? "independent", ["independent", "optimal-transport"]) !== "independent";
  if (coupled && velocity.context > 0) {
    throw new PushforwardError(
      "unsupported",
      `${what}: coupling "optimal-transport" pairs without regard to context, so every context would get a source of its own: leave it out`,
    );
  }
  const labelDropout = checkFinite(`${what}: labelDropout`, o.labelDropout ?? 0, 0, 1);
  // all labels dropped is the null class alone, for which none are needed
  if (labelDropout !== 1 || velocity.classes === 0) {
    if (o.labelDropout !== undefined && o.labels === undefined)
      throw invalid(`${what}: labelDropout was given, but there are no labels to drop: pass labels too`);
    checkLabelled(what, o.labels, velocity);
  }
  return {
    ...plan,
    path: path === pathNames[0] ? undefined : path,
    coupled,
    labelDropout,
  };
}

function optimizerSettings(what: string, optimizer: Optimizer): Omit<AdamSettings, "ema" | "gradientClip"> {
  const o = typeof optimizer === "string" ? { name: optimizer } : optimizer;
  if (typeof o !== "object" || o === null)
    throw invalid(
      `${what}: optimizer is ${show(optimizer)}, but it is "adam", "adamw" or { name, betas, epsilon, weightDecay }`,
    );
  checkKeys(`${what}: optimizer`, o, ["name", "betas", "epsilon", "weightDecay"]);
  const name = checkWord(`${what}: optimizer.name`, o.name, ["adam", "adamw"]);
  const betas = o.betas ?? [0.9, 0.999];
  if (!Array.isArray(betas) || betas.length !== 2)
    throw invalid(`${what}: optimizer.betas is ${show(betas)}, but it is a pair: pass for example [0.9, 0.999]`);
  const [beta1, beta2] = betas;
  if (name === "adam" && o.weightDecay !== undefined) {
    throw invalid(`${what}: optimizer "adam" has no weightDecay: use { name: "adamw", weightDecay: … }`);
  }
  const epsilon = checkFinite(`${what}: optimizer.epsilon`, o.epsilon ?? 1e-8, 0, 1e38);
  // f32 flushes what is smaller to 0, and 0/0 is the step of a weight that has no gradient
  if (epsilon < 1e-30)
    throw invalid(`${what}: optimizer.epsilon is ${epsilon}, but it keeps 0/0 out: pass at least 1e-30`);
  return {
    beta1: checkFinite(`${what}: optimizer.betas[0]`, beta1, 0, 0.999999),
    beta2: checkFinite(`${what}: optimizer.betas[1]`, beta2, 0, 0.9999999),
    epsilon,
    weightDecay:
      name === "adamw" ? checkSingle(`${what}: optimizer.weightDecay`, o.weightDecay ?? 0.01, 0, Infinity, singles) : 0,
  };
}
