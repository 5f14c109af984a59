import { expect, test } from "vitest";
import { planBatch } from "../../shaders/flow-matching.ts";
import { planAdam } from "../../shaders/optimizer.ts";
import { PushforwardError } from "../../src/errors.ts";
import type { Flow } from "../../src/flow/flow.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { type MlpOptions, mlp } from "../../src/network/mlp.ts";
import type { FlowMatchingOptions } from "../../src/train/flow-matching-options.ts";
import { largestBatch } from "../../src/train/largest-batch.ts";
import { optimizerSettings } from "../../src/train/optimizer-settings.ts";
import { flowMatchingPlan } from "../../src/train/plan.ts";
import { wgslVelocity } from "../../src/velocity/wgsl.ts";

// The check reads nothing of a flow but its velocity and its source, so no device is needed.
const flowOf = (velocitySpec: Flow["velocitySpec"]) =>
  ({ velocitySpec, source: sourceSpec(undefined, velocitySpec.dim) }) as Flow;
const plain: MlpOptions = { dim: 2, hidden: [8] };
const classes: MlpOptions = { ...plain, classes: 3 };
const context: MlpOptions = { ...plain, context: 2 };
const rows = Float32Array.of(0, 1, 2, 3);
// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

const faults: [string, MlpOptions, Partial<FlowMatchingOptions>, RegExp][] = [
  ["fewer than one step", plain, { steps: 0 }, /steps is 0, but it is an integer of at least 1/],
  ["a fraction of a sample", plain, { batchSize: 1.5 }, /batchSize is 1\.5/],
  ["a batch beyond WebGPU's workgroups", plain, { batchSize: largestBatch + 1 }, /from 1 to 4194240/],
  ["a path that is not known", plain, { path: loose("cosin") }, /path is "cosin".*did you mean "cosine"/],
  ["a source of half a row", plain, { source: Float32Array.of(1, 2, 3) }, /source is a Float32Array of 3.*\[n, 2\]/],
  ["a source of no rows", plain, { source: new Float32Array(0) }, /source is .*at least one row/],
  ["a source with a hole", plain, { source: Float32Array.of(0, Number.NaN) }, /source holds NaN at row 0, column 1/],
  ["a source by its name", plain, { source: loose("moons") }, /source is "moons"/],
  ["a bridge without width", plain, { bridge: 0 }, /bridge is 0/],
  ["what is not predicted", plain, { predict: loose("noise") }, /predict is "noise"/],
  ["a coupling that is not known", plain, { coupling: loose("optimal") }, /coupling is "optimal"/],
  ["labels of a wrong length", classes, { labels: new Uint32Array(3) }, /2 particles need a Uint32Array of 2/],
  ["labels of a wrong type", classes, { labels: loose([0, 1]) }, /2 particles need a Uint32Array of 2/],
  ["a label out of range", classes, { labels: Uint32Array.of(0, 3) }, /labels\[1\] is 3, but there are 3 classes/],
  ["a drop-out without labels", classes, { labelDropout: 0.1 }, /no labels to drop/],
  ["a drop-out above 1", classes, { labels: new Uint32Array(2), labelDropout: 1.1 }, /labelDropout is 1\.1/],
  ["no context where it is needed", context, {}, /need a Float32Array of 4/],
  ["context of a wrong length", context, { context: new Float32Array(3) }, /need a Float32Array of 4/],
  ["NaN in the context", context, { context: Float32Array.of(0, 1, Number.NaN, 3) }, /context holds NaN at row 1/],
  ["context without inputs for it", plain, { context: new Float32Array(2) }, /no context inputs/],
  ["an average beyond 1", plain, { ema: 1.5 }, /ema is 1\.5/],
  ["a clip of nothing", plain, { gradientClip: 0 }, /gradientClip is 0/],
  ["a clip that is no number", plain, { gradientClip: Number.NaN }, /gradientClip is NaN/],
  ["a seed below zero", plain, { seed: -1 }, /seed is -1/],
  ["a log every zero steps", plain, { logEvery: 0 }, /logEvery is 0/],
  ["a signal of another kind", plain, { signal: loose({}) }, /signal is an object, but it is an AbortSignal/],
  ["an optimizer of another kind", plain, { optimizer: loose(3) }, /optimizer is 3/],
  ["an optimizer without a name", plain, { optimizer: loose({}) }, /optimizer\.name is undefined/],
  ["an unknown setting of it", plain, { optimizer: loose({ name: "adam", beta: 1 }) }, /did you mean "betas"\?/],
  ["one number for both betas", plain, { optimizer: loose({ name: "adam", betas: 0.9 }) }, /betas is 0\.9, but.*pair/],
  ["one beta", plain, { optimizer: loose({ name: "adam", betas: [0.9] }) }, /betas is \[0\.9\], but it is a pair/],
  ["three betas", plain, { optimizer: loose({ name: "adam", betas: [0.9, 0.9, 0.9] }) }, /it is a pair/],
  ["a beta of 1", plain, { optimizer: { name: "adam", betas: [1, 0.999] } }, /betas\[0\] is 1/],
  ["a negative beta", plain, { optimizer: { name: "adam", betas: [0.9, -0.1] } }, /betas\[1\] is -0\.1/],
  ["an epsilon of 0", plain, { optimizer: { name: "adam", epsilon: 0 } }, /epsilon is 0, but it keeps 0\/0 out/],
  [
    "a setting of Muon for another",
    plain,
    { optimizer: loose({ name: "adamw", momentum: 0.9 }) },
    /use \{ name: "muon"/,
  ],
  ["a momentum of 1", plain, { optimizer: { name: "muon", momentum: 1 } }, /optimizer\.momentum is 1/],
  ["a negative rate of matrices", plain, { optimizer: { name: "muon", matrixRate: -1 } }, /matrixRate is -1/],
  ["a negative decay", plain, { optimizer: { name: "adamw", weightDecay: -1 } }, /weightDecay is -1/],
];

for (const [name, velocity, options, message] of faults) {
  test(`training refuses ${name}`, () => {
    const check = () => {
      const plan = flowMatchingPlan(flowOf(mlp(velocity)), rows, { steps: 1, ...options });
      // what is checked when the first step is asked for
      optimizerSettings("trainFlowMatching", plan.options);
    };
    expect(check).toThrow(message);
    expect(check).toThrow(expect.objectContaining({ name: PushforwardError.name, code: "invalid-argument" }));
  });
}

const missing: [string, Flow["velocitySpec"], Partial<FlowMatchingOptions>, RegExp][] = [
  [
    "a field without weights",
    wgslVelocity({ dim: 2, code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }" }),
    {},
    /no weights to train/,
  ],
];

for (const [name, velocity, options, message] of missing) {
  test(`training says that it does not do ${name}`, () => {
    const check = () => flowMatchingPlan(flowOf(velocity), rows, { steps: 1, ...options });
    expect(check).toThrow(message);
    expect(check).toThrow(expect.objectContaining({ code: "unsupported" }));
  });
}

test("options that are left out have the documented defaults", () => {
  const plan = flowMatchingPlan(flowOf(mlp(plain)), rows, { steps: 7 });
  expect(plan).toMatchObject({ rows: 2, steps: 7, batchSize: 1024, logEvery: 100, labelDropout: 0 });
  expect(plan.options.coupling).toBe("independent");
  expect(plan.key).toEqual([0, 0]);
  expect(optimizerSettings("test", plan.options)).toEqual({
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    ema: undefined,
    gradientClip: undefined,
  });
  expect(optimizerSettings("test", { ...plan.options, optimizer: "adamw" }).weightDecay).toBe(0.01);
  expect(optimizerSettings("test", { ...plan.options, optimizer: "muon" })).toMatchObject({
    weightDecay: 0.01,
    muon: { momentum: 0.95, matrixRate: 20 },
  });
});

test("the largest batch fits into one row of workgroups, and samples are counted beyond 2³²", () => {
  const dispatch = planBatch({
    velocity: mlp(plain),
    source: { kind: "gaussian", parts: 1 },
    capacity: largestBatch,
    rows: 2,
    first: 3 * 2 ** 32 + 5,
    key: [1, 2],
    labelDropout: 0,
    contextDropout: 0,
    weighted: false,
    names: { data: "data", constants: "constants" },
  });
  expect(dispatch.workgroups).toEqual([65_535]);
  expect(dispatch.params).toMatchObject({ first_low: 5, first_high: 3, key_low: 1, key_high: 2 });
});

test("Adam's corrections stay finite and end at 1 however long the training", () => {
  const settings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, ema: undefined, gradientClip: undefined };
  const corrections = (step: number) => {
    const { correction1, correction2 } = planAdam({ count: 1, step, learningRate: 1, settings }).params;
    return [correction1, correction2];
  };
  expect(corrections(1)).toEqual([1 / (1 - 0.9), 1 / (1 - 0.999)]);
  expect(corrections(1e9)).toEqual([1, 1]);
});
