import { planReduceGradient } from "../../shaders/optimizer.ts";
import { readable } from "../arrays.ts";
import { warnOfF32 } from "../data/resolution.ts";
import type { DataRows } from "../data/units.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { checkDensity } from "../flow/source.ts";
import { affineBuffer, planImport } from "../flow/states.ts";
import { mergeBuffers } from "../gpu/kernel.ts";
import { networkOf } from "../network/of.ts";
import { chunkOf } from "../ode/engine.ts";
import { planProbes } from "../ode/probes.ts";
import { checked } from "../options/schema.ts";
import { seedKey } from "../random/philox.ts";
import { gradientBuffers, planPackings } from "./buffers.ts";
import { checkBatchSize, gradientOf } from "./gradient-result.ts";
import { likelihoodGradientFields } from "./later-fields.ts";
import { lendShared, workOf } from "./likelihood.ts";
import type { LikelihoodGradientOptions } from "./likelihood-options.ts";
import { likelihoodBuffers, likelihoodTangents, planLikelihoodGradient, planPenaltySum } from "./likelihood-plan.ts";
import { likelihoodSolve } from "./likelihood-solve.ts";
import { trainingRows } from "./loop.ts";
import { trainableVelocity } from "./plan.ts";

/** What `likelihoodGradients` does, checks of its arguments included. */
export async function givenLikelihoodGradients(
  flow: Flow,
  given: DataRows,
  givenOptions: LikelihoodGradientOptions,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const what = "likelihoodGradients";
  const x = readable(`${what}: x`, given);
  const velocity = trainableVelocity(what, flow);
  checkDensity(what, flow.source);
  const { dim } = velocity;
  const options = checked(what, likelihoodGradientFields, givenOptions);
  const count = particleCount(what, "x", x, dim, "data");
  checkBatchSize(what, "x", count);
  checkAllFinite(what, "x", x, dim);
  const { rows, affine } = trainingRows(what, "x", flow, x);
  if (x instanceof Float32Array && !flow.transform) warnOfF32(what, flow.normalization);
  const solve = likelihoodSolve(what, options, dim, count);
  checkLabelled(what, options.labels, velocity);
  const work = await workOf(flow, velocity, solve, onHost(what, checkConditions(what, options, count, velocity)), x);
  const { backward } = work;
  const key = seedKey(options.seed);
  const plan = (maxFlops: number) => {
    const chunk = chunkOf(0, count, maxFlops);
    const { capacity } = chunk;
    const start = planImport(rows, chunk, dim, { isData: true });
    const probes = planProbes({ ...solve.divergence, total: count, dim, chunk, first: 0, key });
    const segments = backward.copies(capacity);
    return {
      buffers: mergeBuffers([
        ...likelihoodBuffers(work, chunk),
        ...gradientBuffers(backward, velocity, capacity, likelihoodTangents(work)),
        ...start.buffers,
        ...probes.buffers,
        affineBuffer(affine),
        { name: "loss", bytes: 4, data: Float32Array.of(0) },
      ]),
      dispatches: [
        ...planPackings(backward),
        ...start.dispatches,
        ...probes.dispatches,
        ...planLikelihoodGradient(work, chunk),
        ...planPenaltySum(work, chunk),
        planReduceGradient({ count: networkOf(velocity).parameterCount, segments, norm: false }),
      ],
    };
  };
  return gradientOf(flow, what, velocity, count, options.onProgress, plan, (arena) =>
    lendShared(work, arena, new Set()),
  );
}
