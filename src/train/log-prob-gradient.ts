import { dataGradients, logDeterminants } from "../data/transform-derivatives.ts";
import type { DataRows } from "../data/units.ts";
import { checkConditions, onHost } from "../flow/conditions.ts";
import type { Flow } from "../flow/flow.ts";
import { logScale } from "../flow/log-prob.ts";
import { jobOn } from "../flow/solve-job.ts";
import type { Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { hostArray, piecemeal } from "../host-array.ts";
import { item, must } from "../must.ts";
import { chunkOf, integralsOf, largestChunk } from "../ode/engine.ts";
import { checked } from "../options/schema.ts";
import { seedKey } from "../random/philox.ts";
import type { ChunkPlan, Job } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { ofSteadyWeights } from "./alone.ts";
import { givenRows, planGivenRows, scratchOf } from "./given-rows.ts";
import { logProbGradientFields } from "./later-fields.ts";
import { workOf } from "./likelihood.ts";
import type { LogProbGradient, LogProbGradientOptions } from "./likelihood-options.ts";
import { planLikelihoodGradient } from "./likelihood-plan.ts";
import { likelihoodSolve } from "./likelihood-solve.ts";
import type { LikelihoodWork } from "./likelihood-work.ts";
import { trainingRows } from "./loop.ts";

const what = "logProbGradient";

/** What `logProbGradient` does, checks of its arguments included. */
export async function givenLogProbGradient(
  flow: Flow,
  given: DataRows,
  givenOptions: LogProbGradientOptions,
): Promise<LogProbGradient> {
  const { x, velocity, count } = givenRows(what, flow, given);
  const { dim } = velocity;
  const options = checked(what, logProbGradientFields, givenOptions);
  const data = trainingRows(what, "x", flow, x);
  // determinants of any size count: what is asked for is log p, not a loss
  const solve = { ...likelihoodSolve(what, options, dim, count), leastDeterminant: 0 };
  const conditions = onHost(what, checkConditions(what, options, count, velocity, true));
  const work: LikelihoodWork = {
    ...(await workOf(flow, velocity, solve, conditions, x, 1)),
    constant: logScale(flow.normalization),
    isSum: true,
  };
  const from = { data, divergence: solve.divergence, total: count, key: seedKey(options.seed) };
  const plan = (...bounds: Parameters<Job["plan"]>): ChunkPlan => {
    const chunk = chunkOf(...bounds);
    return {
      ...planGivenRows(work, chunk, from),
      outputs: [
        { name: "logProb", bytes: 4 * chunk.count },
        { name: "adjoint", bytes: 4 * dim * chunk.capacity },
      ],
    };
  };
  const makeJob = async (session: Session): Promise<Job> =>
    jobOn(flow, session, what, {}, await weightsOf(flow, work, session), (shared) => ({
      ...costOf(work, session),
      ...{ what, count, shared, plan },
      family: `${work.engine.family}|${what} ${work.integration.divergence.mode}`,
    }));

  const called = `${what}: ${count.toLocaleString("en-US")} rows`;
  const logProb = hostArray(Float32Array, count, called, piecemeal(what));
  const own = hostArray(Float32Array, count * dim, called, piecemeal(what));
  await ofSteadyWeights(flow, what, async () => {
    for await (const chunk of runJob(flow.gpu, count, makeJob, options)) {
      const part = (name: string) => new Float32Array(must(chunk.outputs.get(name), `${name} of a chunk`));
      logProb.set(part("logProb"), chunk.start);
      const adjoint = part("adjoint");
      const { capacity } = chunkOf(chunk.start, chunk.count, 0);
      for (let i = 0; i < chunk.count; i++)
        for (let j = 0; j < dim; j++) own[(chunk.start + i) * dim + j] = -(adjoint[j * capacity + i] as number);
    }
  });
  const { transform } = flow;
  if (transform)
    for (const [i, gain] of logDeterminants(x, transform, dim).entries()) logProb[i] = item(logProb, i) + gain;
  const gradient = dataGradients(x, own, dim, flow);
  let nonFinite = 0;
  for (let i = 0; i < count; i++)
    if (!Number.isFinite(logProb[i]) || !gradient.subarray(i * dim, (i + 1) * dim).every(Number.isFinite)) nonFinite++;
  return { logProb, gradient, nonFinite };
}

/** The weights, and what the engine of the forward solve has made of them; what the passes pack for themselves is made in each chunk. */
async function weightsOf(flow: Flow, { engine, backward }: LikelihoodWork, session: Session): Promise<Shared> {
  const flat = await flow.parameters.borrow(session);
  try {
    const own = await engine.shared(session);
    const packed = new Set(backward.packings.map(({ name }) => name));
    const buffers = [...own.buffers].filter(([name]) => !packed.has(name));
    return {
      buffers: new Map([...buffers, ["parameters", flat.buffer]]),
      version: flow.parameters.version,
      release() {
        own.release();
        flat.release();
      },
    };
  } catch (error) {
    flat.release();
    throw error;
  }
}

/** What a row takes on the device: memory by what a chunk of twice the rows takes more. */
function costOf(work: LikelihoodWork, session: Session) {
  const { engine, grid, integration, velocity } = work;
  const { stages, divergence } = integration;
  const rows = 1024;
  const [once, twice] = [rows, 2 * rows].map(
    (count) =>
      new Map(scratchOf(planLikelihoodGradient(work, chunkOf(0, count, 1))).map(({ name, bytes }) => [name, bytes])),
  );
  const growths = Array.from(twice ?? [], ([name, bytes]) => (bytes - (once?.get(name) ?? bytes)) / rows);
  const own = 4 * (velocity.dim + velocity.context + 1 + integralsOf(divergence) * velocity.dim);
  const binding = session.device.limits.maxStorageBufferBindingSize;
  return {
    bytesPerParticle: own + growths.reduce((sum, growth) => sum + growth, 0),
    largestChunk: largestChunk(binding, Math.max(own, ...growths) / 4),
    // forward, and back with the values, their tangents, and the adjoints of both
    flopsPerParticle: Math.max(1, 4 * (grid.times.length - 1) * stages * engine.divergenceFlops(divergence)),
  };
}
