import { timeEntry } from "../../shaders/flow-matching.ts";
import { planGivenBatch } from "../../shaders/given-batch.ts";
import { planReduceGradient, planSum } from "../../shaders/optimizer.ts";
import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { networkOf } from "../network/of.ts";
import { padded } from "../ode/engine.ts";
import { type Checked, checked } from "../options/schema.ts";
import { show } from "../options.ts";
import { pathNames } from "../path/names.ts";
import { checkPath, coefficients } from "../path/paths.ts";
import { matchingChoice } from "./backward-of.ts";
import { gradientBuffers, planPackings, residualBuffers } from "./buffers.ts";
import { planConditions } from "./conditions.ts";
import type { FlowMatchingBatch } from "./flow-matching-options.ts";
import { checkBatchSize, gradientOf } from "./gradient-result.ts";
import { batchFields, gradientFields } from "./later-fields.ts";
import type { GradientOptions } from "./options.ts";
import { trainableVelocity } from "./plan.ts";
import { addBridge, checkPredict, timeWeights, weightingOf } from "./times.ts";

const what = "flowMatchingGradients";

/** What `flowMatchingGradients` does, checks of its arguments included. */
export async function givenBatchGradients(
  flow: Flow,
  given: FlowMatchingBatch,
  options: GradientOptions,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const velocity = trainableVelocity(what, flow);
  const { dim } = velocity;
  const batch = checked(what, batchFields, given);
  const { onProgress } = checked(what, gradientFields, options);
  const count = particleCount(what, "x0", batch.x0, dim);
  checkBatchSize(what, "x0", count);
  if (particleCount(what, "x1", batch.x1, dim) !== count)
    throw invalid(`${what}: x1 has ${batch.x1.length} values, but x0 has ${batch.x0.length}: pass pairs`);
  if (!(batch.t instanceof Float32Array) || batch.t.length !== count)
    throw invalid(`${what}: t is ${show(batch.t)}, but ${count} pairs need a Float32Array of ${count} times`);
  for (const name of ["x0", "x1"] as const) checkAllFinite(what, name, batch[name], dim);
  checkAllFinite(what, "t", batch.t, 1);
  checkPredict(what, batch);
  if (batch.z !== undefined && batch.bridge === undefined)
    throw invalid(`${what}: z is the noise of a bridge, but there is none: pass bridge, or leave z out`);
  checkLabelled(what, batch.labels, velocity);
  const conditions = onHost(what, checkConditions(what, batch, count, velocity));
  const isBridge = batch.bridge !== undefined;
  const path =
    batch.path === undefined && !isBridge
      ? undefined
      : coefficients(what, checkPath(what, batch.path ?? pathNames[0]), batch.t);
  const noise = path && noiseOf(batch, path, dim);
  const weighting = weightingOf(batch);
  const weights = weighting && timeWeights(what, weighting, batch.t);

  const { labels, context } = conditions;
  const capacity = padded(count);
  const backward = (await matchingChoice(flow))(velocity);
  const segments = backward.copies(capacity);
  const uploads = Object.entries({
    starts: batch.x0,
    ends: batch.x1,
    times: batch.t,
    labels,
    context,
    path,
    weights,
    noise,
  });
  const names = {
    starts: "starts",
    ends: "ends",
    times: "times",
    path: path && "path",
    weights: weights && "weights",
    noise: noise && "noise",
  };
  return gradientOf(flow, what, velocity, count, onProgress, (maxFlops) => ({
    buffers: [
      ...gradientBuffers(backward, velocity, capacity),
      ...residualBuffers(velocity, capacity, weights !== undefined),
      ...uploads.flatMap(([name, data]) => (data ? [{ name, bytes: data.byteLength, data }] : [])),
      { name: "loss", bytes: 4 },
    ],
    dispatches: [
      ...planPackings(backward),
      planGivenBatch({ velocity, capacity, count, names }),
      ...planConditions(velocity, { capacity, count }, conditions),
      ...backward.residual({ capacity, count, maxFlops, weighted: weights !== undefined }),
      planReduceGradient({ count: networkOf(velocity).parameterCount, segments, norm: false }),
      planSum({ count: capacity, scale: 1 / (count * dim), add: false, from: "squares", to: "loss" }),
    ],
  }));
}

/** The noise of a bridge and what it counts, as the kernel reads them; of a score the path, [n][4], has no part in the target. */
function noiseOf({ bridge, z, t, predict }: Checked<typeof batchFields>, path: Float32Array, dim: number) {
  const count = t.length;
  if (bridge === undefined) return undefined;
  if (!(z instanceof Float32Array) || z.length !== count * dim)
    throw invalid(
      `${what}: z is ${z === undefined ? "missing" : show(z)}, but a bridge of ${count} pairs has noise [${count}, ${dim}]: pass a Float32Array of ${count * dim} normals`,
    );
  checkAllFinite(what, "z", z, dim);
  const noise = new Float32Array(count * (dim + 2));
  noise.set(z);
  const { words, at } = timeEntry;
  const entry = new Float32Array(words);
  for (const [k, time] of t.entries()) {
    if (!(time > 0 && time < 1))
      throw invalid(
        `${what}: t[${k}] is ${time}, but a bridge has noise between its ends alone: pass times within (0, 1)`,
      );
    entry.set(path.subarray(4 * k, 4 * k + 4), at.path);
    entry[at.time] = time;
    addBridge(entry, bridge, predict);
    path.set(entry.subarray(at.path, at.path + 4), 4 * k);
    noise.set([entry[at.spread] as number, entry[at.rate] as number], count * dim + 2 * k);
  }
  return noise;
}
