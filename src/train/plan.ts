import { circularAxes } from "../data/transform.ts";
import type { DataRows } from "../data/units.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, isBuffer, rowCount } from "../flow/rows.ts";
import { checkDensity, type SourceSpec } from "../flow/source.ts";
import { checked } from "../options/schema.ts";
import { checkWord, show } from "../options.ts";
import { type Path, type PathName, pathNames } from "../path/names.ts";
import { seedKey } from "../random/philox.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import {
  type CheckedFlowMatching,
  type CheckedLikelihood,
  type CheckedTraining,
  flowMatchingFields,
  likelihoodFields,
} from "./fields.ts";
import type { FlowMatchingOptions } from "./flow-matching-options.ts";
import { givenConditions } from "./lengths.ts";
import type { MaximumLikelihoodOptions } from "./likelihood-options.ts";
import { checkDrawnProbes, likelihoodSolve, likelihoodTraining } from "./likelihood-solve.ts";

/** Checked options of a training run. */
export interface TrainingPlan {
  readonly velocity: TrainableVelocity;
  readonly rows: number;
  /** Samples of the source, which lie behind the rows on the device. */
  readonly starts?: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly key: readonly [number, number];
  readonly logEvery: number;
  readonly options: CheckedTraining;
}

export interface LikelihoodPlan extends TrainingPlan {
  readonly options: CheckedLikelihood;
}

export interface FlowMatchingPlan extends TrainingPlan {
  readonly options: CheckedFlowMatching;
  /** A path other than the straight one. */
  readonly path: PathName | Path | undefined;
  /** What x_0 is drawn from. */
  readonly source: SourceSpec;
  readonly labelDropout: number;
}

/** The network of a flow; other fields have nothing to train. */
export function trainableVelocity(caller: string, flow: Flow): TrainableVelocity {
  const kind: unknown = flow?.velocitySpec?.kind;
  if (kind !== "mlp" && kind !== "network" && kind !== "wgsl")
    throw invalid(
      `${caller}: the first argument is ${show(flow)}, but it is a flow: pass what Flow.create(…) or Flow.load(…) returned`,
    );
  if (flow.velocitySpec.kind === "wgsl")
    throw new PushforwardError(
      "unsupported",
      `${caller}: a wgslVelocity has no weights to train: use an mlp or a network`,
    );
  return flow.velocitySpec;
}

/** Checks the data of any training, and those of its options that depend on the flow; every fault is told before anything runs. */
function trainingPlan<O extends CheckedTraining>(
  what: string,
  flow: Flow,
  data: DataRows,
  o: O,
  /** What is given with the rows. */
  conditions: { classes: number; context: number } = trainableVelocity(what, flow),
): TrainingPlan & { readonly options: O } {
  const velocity = trainableVelocity(what, flow);
  const { dim } = velocity;
  checkRows(what, "data", flow, data);
  const rows = data.length / dim;
  const { labels } = o;
  const given = { ...(labels !== undefined && { labels }), ...(o.context !== undefined && { context: o.context }) };
  const { context } = onHost(what, checkConditions(what, given, rows, conditions));
  if (context) checkAllFinite(what, "context", context, conditions.context);
  const { steps, batchSize, logEvery } = o;
  return {
    velocity,
    rows,
    steps,
    batchSize,
    logEvery,
    options: o,
    key: seedKey(o.seed),
  };
}

/** Throws for what is no rows in data units. */
export function checkRows(what: string, name: string, { velocitySpec: { dim } }: Flow, data: DataRows): void {
  const isArray = data instanceof Float32Array || data instanceof Float64Array;
  if (!isArray || data.length === 0 || data.length % dim !== 0) {
    throw invalid(
      `${what}: ${name} is ${show(data)}, but a flow of dim ${dim} trains on a row-major [n, ${dim}] Float32Array or Float64Array of at least one row`,
    );
  }
  checkAllFinite(what, name, data, dim);
}

/** The options of flow matching, checked. */
export function flowMatchingPlan(flow: Flow, data: DataRows, given: FlowMatchingOptions): FlowMatchingPlan {
  const what = "trainFlowMatching";
  const field = trainableVelocity(what, flow);
  const o = checked(what, flowMatchingFields, given);
  const plan = trainingPlan(what, flow, data, o, givenConditions(field, o.shortcut));
  const { velocity } = plan;
  const { path, labelDropout = 0 } = o;
  const { source } = o;
  if (isBuffer(source)) rowCount(what, "source", source, velocity.dim);
  else if (source !== undefined && typeof source !== "function") checkRows(what, "source", flow, source);
  if (typeof path !== "object" || path === null) checkWord(`${what}: path`, path, pathNames);
  // all labels dropped is the null class alone, for which none are needed
  if (labelDropout !== 1 || velocity.classes === 0) {
    if (o.labelDropout !== undefined && o.labels === undefined)
      throw invalid(`${what}: labelDropout was given, but there are no labels to drop: pass labels too`);
    checkLabelled(what, o.labels, velocity);
  }
  if (circularAxes(flow.transform).length > 0) {
    if (path !== pathNames[0])
      throw invalid(
        `${what}: path is ${show(path)}, but transform has circular axes, where a path goes along the arc from x_0 to x_1: leave it out`,
      );
    if (o.coupling !== "independent")
      throw invalid(
        `${what}: coupling pairs rows by their distances, but transform has circular axes, on which distances are others: leave coupling out`,
      );
  }
  return {
    ...plan,
    // what stands for it in the options is read when the training begins
    source: flow.source,
    path: path === pathNames[0] ? undefined : path,
    labelDropout,
  };
}

/** The options of maximum likelihood, checked. */
export function likelihoodTrainingPlan(flow: Flow, data: DataRows, given: MaximumLikelihoodOptions): LikelihoodPlan {
  trainableVelocity(likelihoodTraining, flow);
  checkDensity(likelihoodTraining, flow.source);
  const o = checked(likelihoodTraining, likelihoodFields, given);
  const plan = trainingPlan(likelihoodTraining, flow, data, o);
  checkLabelled(likelihoodTraining, o.labels, plan.velocity);
  checkDrawnProbes(o);
  const { grid } = likelihoodSolve(likelihoodTraining, o, plan.velocity.dim, plan.batchSize);
  if (o.jitter && grid.warp === undefined)
    throw invalid(
      `${likelihoodTraining}: jitter moves the times of steps, but solver has times: pass steps in their place`,
    );
  return plan;
}
