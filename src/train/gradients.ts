import { invalid } from "../errors.ts";
import { checkConditions, checkLabelled, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { Arena } from "../gpu/arena.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { planConditionRows } from "../kernels/stages.ts";
import { networkOf } from "../network/of.ts";
import { padded } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import { checkPath, coefficients } from "../path/paths.ts";
import { onDevice } from "../schedule/loss.ts";
import { flopsPerDispatch } from "../schedule/pacer.ts";
import type { SignOfLife } from "../schedule/sign-of-life.ts";
import { ofSteadyWeights } from "./alone.ts";
import { backwardOf } from "./backward-of.ts";
import { allocateAll, gradientBuffers, planPackings, residualBuffers } from "./buffers.ts";
import { planGivenBatch, planReduceGradient, planSum } from "./dispatches.ts";
import { batchFields, gradientFields } from "./fields.ts";
import { gradientResult, told, trainingSpeed } from "./gradient-result.ts";
import { largestBatch } from "./largest-batch.ts";
import type { FlowMatchingBatch, GradientOptions } from "./options.ts";
import { trainableVelocity } from "./plan.ts";

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
  if (count === 0) throw invalid(`${what}: x0 is empty, but a mean needs at least one row`);
  if (count > largestBatch)
    throw invalid(
      `${what}: x0 has ${count} rows, but a batch has at most ${largestBatch}: average the gradients of smaller ones`,
    );
  if (particleCount(what, "x1", batch.x1, dim) !== count)
    throw invalid(`${what}: x1 has ${batch.x1.length} values, but x0 has ${batch.x0.length}: pass pairs`);
  if (!(batch.t instanceof Float32Array) || batch.t.length !== count)
    throw invalid(`${what}: t is ${show(batch.t)}, but ${count} pairs need a Float32Array of ${count} times`);
  for (const name of ["x0", "x1"] as const) checkAllFinite(what, name, batch[name], dim);
  checkAllFinite(what, "t", batch.t, 1);
  checkLabelled(what, batch.labels, velocity);
  const conditions = onHost(what, checkConditions(what, batch, count, velocity));
  const path = batch.path === undefined ? undefined : coefficients(what, checkPath(what, batch.path), batch.t);

  const capacity = padded(count);
  const parameters = networkOf(velocity).parameterCount;
  const backward = backwardOf(flow, velocity);
  const work = async (session: Session, sign: SignOfLife) => {
    const flat = await flow.parameters.borrow(session);
    const arena = new Arena(session);
    try {
      arena.lend("parameters", flat.buffer);
      await allocateAll(arena, [
        ...gradientBuffers(backward, velocity, capacity),
        ...residualBuffers(velocity, capacity),
        { name: "starts", bytes: batch.x0.byteLength, data: batch.x0 },
        { name: "ends", bytes: batch.x1.byteLength, data: batch.x1 },
        { name: "times", bytes: batch.t.byteLength, data: batch.t },
        ...(conditions.labels
          ? [{ name: "labels", bytes: conditions.labels.byteLength, data: conditions.labels }]
          : []),
        ...(conditions.context
          ? [{ name: "context", bytes: conditions.context.byteLength, data: conditions.context }]
          : []),
        ...(path ? [{ name: "path", bytes: path.byteLength, data: path }] : []),
        { name: "loss", bytes: 4 },
      ]);
      const dispatches: Dispatch[] = [
        ...planPackings(backward),
        planGivenBatch({
          velocity,
          capacity,
          count,
          names: { starts: "starts", ends: "ends", times: "times", path: path && "path" },
        }),
      ];
      if (velocity.classes + velocity.context > 0) {
        dispatches.push(
          planConditionRows({
            capacity,
            count,
            row: dim + 1,
            classes: velocity.classes,
            context: velocity.context,
            input: "h0",
            labels: conditions.labels && "labels",
            contextRows: conditions.context && "context",
          }),
        );
      }
      dispatches.push(
        ...backward.residual({ capacity, count, maxFlops: flopsPerDispatch(trainingSpeed(session, what, velocity)) }),
        planReduceGradient({ count: parameters, segments: backward.copies(capacity), norm: false }),
        planSum({ count: capacity, scale: 1 / (count * dim), add: false, from: "squares", to: "loss" }),
      );
      return await gradientResult(flow, velocity, what, arena, dispatches, sign);
    } finally {
      arena.release();
      flat.release();
    }
  };
  return ofSteadyWeights(flow, what, () =>
    told(onProgress, count, (sign) => onDevice(flow.gpu, what, (session) => work(session, sign))),
  );
}
