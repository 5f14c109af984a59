import { freeRows } from "../data/transform-maps.ts";
import { type DataRows, ownValue } from "../data/units.ts";
import { invalid, type PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { likelihoodTraining } from "./likelihood-solve.ts";

/** What is known of a training whose loss, or whose weights, are no longer finite. */
interface LostLoss {
  readonly what: string;
  /** Over the `steps` steps before `done`: NaN or an infinity, or finite where it is the weights that are not. */
  readonly loss: number;
  readonly steps: number;
  readonly done: number;
  readonly learningRate: (step: number) => number;
  readonly flow: Flow;
  readonly data: DataRows;
  readonly context: Float32Array | undefined;
  /** Those that this run began from. */
  readonly weights: Float32Array;
  readonly firstStep: number;
  /** The step of the weights that the flow gets back, and whether the validation data have chosen it. */
  readonly kept: { readonly step: number; readonly isBest: boolean };
}

/** Beyond this a number is so far from the ±1 of a network's inputs that what is computed from it overflows sooner or later. */
const far = 1e4;
/** An optimiser step moves no weight by more than about so many learning rates (Kingma & Ba 2015, §2.1). */
const learningRatesPerStep = 10;

/** The error of a training whose loss is lost, by its cause: numbers too large for f32, else steps that diverged. */
export function lostLoss(lost: LostLoss): PushforwardError {
  const { what, loss, steps, done, kept } = lost;
  const when = steps === 1 ? `in step ${done}` : `within the ${steps} steps before step ${done}`;
  const found = Number.isFinite(loss) ? `weights are not finite after step ${done}` : `the loss is ${loss} ${when}`;
  const which = kept.isBest ? "the best ones by the validation data" : "the last good ones that were read";
  const has =
    kept.step === 0 ? "the weights that it had before the training" : `its weights of step ${kept.step}, ${which}`;
  return invalid(`${what}: ${found}: ${cause(lost)}; the flow has ${has}`);
}

function cause(lost: LostLoss): string {
  const { what, loss, flow, data, context, weights, firstStep, done, learningRate } = lost;
  const { source } = flow;
  const free = freeRows(what, "data", data, flow.transform);
  const rows = largestRow(free, flow.dim, (value, column) => ownValue(value, flow.normalization, column));
  const moved = [...Array(Math.min(done - firstStep, 1000)).keys()].reduce(
    (sum, k) => sum + learningRate(firstStep + k) * learningRatesPerStep,
    0,
  );
  const diverges = moved > 1e-2 && (Number.isFinite(loss) || done - firstStep !== 1);
  if (rows.size > (diverges ? far : 100))
    return flow.normalization
      ? `row ${rows.row}, column ${rows.column} (from 0) of data is ${data[rows.at]}, ${plain(rows.size)} scales from the normalization's mean, and what is computed of it overflows f32: leave such rows out, or give the flow normalization: fitNormalization(data, dim) of these data`
      : `column ${rows.column} (from 0) of data reaches ${plain(rows.size)} (row ${rows.row}), and what is computed of it overflows f32: give the flow normalization: fitNormalization(data, dim); leave that row out if it is a mistake`;
  if (context) {
    const given = largestRow(context, flow.velocitySpec.kind === "wgsl" ? 1 : flow.velocitySpec.context, (v) => v);
    if (given.size > far)
      return `column ${given.column} (from 0) of context reaches ${plain(given.size)} (row ${given.row}), and what is computed of it overflows f32: scale the context to about ±1`;
  }
  const inputs = largestRow(source.rows, flow.dim, (value) => value);
  if (inputs.size > far)
    return `the flow's source has ${plain(inputs.size)} in axis ${inputs.column} (from 0), and what is computed of it overflows f32: use a source of about ±1, with a normalization to data units`;
  const heaviest = flow.parameters.tensors
    .map(({ name, offset, size }) => ({ name, size: largest(weights.subarray(offset, offset + size)) }))
    .reduce((most, tensor) => (tensor.size > most.size ? tensor : most));
  if (heaviest.size > far)
    return `the weights that the training began with reach ${plain(heaviest.size)} (in "${heaviest.name}"), and what is computed of them overflows f32: begin with other weights`;
  if (what === likelihoodTraining && source.kind === "uniform" && loss !== Number.NEGATIVE_INFINITY)
    return 'the flow\'s source is uniform, whose density is 0 outside of its box, and rows of the data came out there: train with a source of distribution "gaussian", or by trainFlowMatching';
  if (diverges) return `the steps diverged: lower the learning rate (${learningRate(done - 1)}) or set gradientClip`;
  return `the weights had hardly moved (by at most about ${plain(moved)}), so the learning rate is not the cause, and no value of the data is beyond ${plain(rows.size)}: look at ${what === likelihoodTraining ? "the solver (more steps) and the regularization" : "the functions of the path"}, and at the weights that the training began with`;
}

/** The value of a matrix that is largest in size, after `own`, and where it stands. */
function largestRow(values: ArrayLike<number>, width: number, own: (value: number, column: number) => number) {
  let [at, size] = [0, -1];
  for (let i = 0; i < values.length; i++) {
    const value = Math.abs(own(values[i] as number, i % width));
    if (value > size) [at, size] = [i, value];
  }
  return { at, size, row: Math.floor(at / width), column: at % width };
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

const plain = (value: number) => String(Number(value.toPrecision(3)));
