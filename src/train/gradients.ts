import { planGivenBatch } from "../../shaders/flow-matching.ts";
import { planReduceGradient, planSum } from "../../shaders/optimizer.ts";
import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { networkOf } from "../network/of.ts";
import { padded } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import { checkPath, coefficients } from "../path/paths.ts";
import { residualBackward } from "./backward-of.ts";
import { gradientBuffers, planPackings, residualBuffers } from "./buffers.ts";
import { planConditions } from "./conditions.ts";
import { checkBatchSize, gradientOf } from "./gradient-result.ts";
import { batchFields, gradientFields } from "./later-fields.ts";
import type { FlowMatchingBatch, GradientOptions } from "./options.ts";
import { trainableVelocity } from "./plan.ts";
import { timeWeights } from "./times.ts";

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
  checkLabelled(what, batch.labels, velocity);
  const conditions = onHost(what, checkConditions(what, batch, count, velocity));
  const path = batch.path === undefined ? undefined : coefficients(what, checkPath(what, batch.path), batch.t);

  const weights = batch.weighting && timeWeights(what, batch.weighting, batch.t);

  const { labels, context } = conditions;
  const capacity = padded(count);
  const backward = residualBackward(flow, velocity);
  const segments = backward.copies(capacity);
  const uploads = Object.entries({ starts: batch.x0, ends: batch.x1, times: batch.t, labels, context, path, weights });
  const names = { starts: "starts", ends: "ends", times: "times", path: path && "path", weights: weights && "weights" };
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
