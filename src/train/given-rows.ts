import { readable } from "../arrays.ts";
import type { DataRows } from "../data/units.ts";
import type { DivergencePlan } from "../flow/divergence.ts";
import type { Flow } from "../flow/flow.ts";
import { particleCount } from "../flow/rows.ts";
import { checkDensity } from "../flow/source.ts";
import { affineBuffer, planImport } from "../flow/states.ts";
import { mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import type { Chunk } from "../ode/engine.ts";
import { planProbes } from "../ode/probes.ts";
import type { Key } from "../random/philox.ts";
import { planPackings } from "./buffers.ts";
import type { GradientPlan } from "./gradient-result.ts";
import { type PlannedGradient, planLikelihoodGradient } from "./likelihood-plan.ts";
import type { LikelihoodWork } from "./likelihood-work.ts";
import type { TrainingRows } from "./loop.ts";
import { trainableVelocity } from "./plan.ts";

/** What a gradient of log p is asked at: rows in data units, of a flow that has weights and a density to begin with. */
export function givenRows(what: string, flow: Flow, given: DataRows) {
  const x = readable(`${what}: x`, given);
  const velocity = trainableVelocity(what, flow);
  checkDensity(what, flow.source);
  return { x, velocity, count: particleCount(what, "x", x, velocity.dim, "data") };
}

/** All buffers of a chunk but those of its rows and probes. */
export function scratchOf({ buffers }: PlannedGradient): PlannedBuffer[] {
  return mergeBuffers([...buffers, { name: "loss", bytes: 4, data: Float32Array.of(0) }]);
}

/** From a chunk of `total` rows to what {@link planLikelihoodGradient} gives. */
export function planGivenRows(
  work: LikelihoodWork,
  chunk: Chunk,
  o: { readonly data: TrainingRows; readonly divergence: DivergencePlan; readonly total: number; readonly key: Key },
): GradientPlan {
  const { dim } = work.velocity;
  const gradient = planLikelihoodGradient(work, chunk);
  const start = planImport(o.data.rows, chunk, dim, { isData: true });
  const probes = planProbes({ ...o.divergence, total: o.total, dim, chunk, first: chunk.start, key: o.key });
  return {
    buffers: mergeBuffers([...scratchOf(gradient), ...start.buffers, ...probes.buffers, affineBuffer(o.data.affine)]),
    dispatches: [
      ...planPackings(work.backward),
      ...start.dispatches,
      ...probes.dispatches,
      ...gradient.dispatches(chunk.maxFlops),
    ],
  };
}
