import { planReduceGradient } from "../../shaders/optimizer.ts";
import { warnOfF32 } from "../data/resolution.ts";
import type { DataRows } from "../data/units.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite } from "../flow/rows.ts";
import { networkOf } from "../network/of.ts";
import { chunkOf } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { seedKey } from "../random/philox.ts";
import { givenRows, planGivenRows } from "./given-rows.ts";
import { checkBatchSize, gradientOf } from "./gradient-result.ts";
import { likelihoodGradientFields } from "./later-fields.ts";
import { lendShared, workOf } from "./likelihood.ts";
import type { LikelihoodGradientOptions } from "./likelihood-options.ts";
import { planPenaltySum } from "./likelihood-reverse.ts";
import { likelihoodSolve } from "./likelihood-solve.ts";
import { trainingRows } from "./loop.ts";

/** What `likelihoodGradients` does, checks of its arguments included. */
export async function givenLikelihoodGradients(
  flow: Flow,
  given: DataRows,
  givenOptions: LikelihoodGradientOptions,
): Promise<{ loss: number; gradients: Record<string, Float32Array> }> {
  const what = "likelihoodGradients";
  const { x, velocity, count } = givenRows(what, flow, given);
  const { dim } = velocity;
  const options = checked(what, likelihoodGradientFields, givenOptions);
  checkBatchSize(what, "x", count);
  checkAllFinite(what, "x", x, dim);
  const data = trainingRows(what, "x", flow, x);
  if (x instanceof Float32Array && !flow.transform) warnOfF32(what, flow.normalization);
  const solve = likelihoodSolve(what, options, dim, count);
  checkLabelled(what, options.labels, velocity);
  const conditions = onHost(what, checkConditions(what, options, count, velocity));
  const work = await workOf(flow, velocity, solve, conditions, x, count);
  const from = { data, divergence: solve.divergence, total: count, key: seedKey(options.seed) };
  const plan = (maxFlops: number) => {
    const chunk = chunkOf(0, count, maxFlops);
    const { buffers, dispatches } = planGivenRows(work, chunk, from);
    const segments = work.backward.copies(chunk.capacity);
    return {
      buffers,
      dispatches: [
        ...dispatches,
        ...planPenaltySum(work, chunk),
        planReduceGradient({ count: networkOf(velocity).parameterCount, segments, norm: false }),
      ],
    };
  };
  return gradientOf(flow, what, velocity, count, options.onProgress, plan, (arena) =>
    lendShared(work, arena, new Set()),
  );
}
