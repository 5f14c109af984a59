// The workloads of workloads.json by pushforward: the checks that both sides must pass, and the timed runs.
import {
  Flow,
  flowMatchingGradients,
  likelihoodGradients,
  mlp,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";

/** Particles whose results are compared. */
const checkedCount = 64;

/** Numbers that look like points of a normal distribution, the same on every machine. */
function points(count, seed) {
  const values = new Float32Array(count);
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < count; i++) values[i] = 1.5 * (next() + next() + next() + next() - 2);
  return values;
}

/** A flow for each network of the plan, with the library's initial weights. */
export function createFlows(gpu, networks) {
  return Object.fromEntries(
    Object.entries(networks).map(([name, spec]) => [name, Flow.create(gpu, { velocity: mlp(spec), seed: 1 })]),
  );
}

const solverOf = ({ method, steps }) => ({ method, steps });

/** The loss and the gradient of every parameter, in the order of the layers, as one vector. */
async function gradientOf(work, flow, x) {
  const options = { solver: work.method && solverOf(work), divergence: "exact" };
  const x0 = points(x.length, 13);
  const t = points(checkedCount, 17).map((value) => (value + 3) / 6);
  const isLikelihood = work.objective === "likelihood";
  const { loss, gradients } = isLikelihood
    ? await likelihoodGradients(flow, x, options)
    : await flowMatchingGradients(flow, { x0, x1: x, t });
  const layers = flow.velocitySpec.hidden.length + 1;
  const parts = Array.from({ length: layers }, (_, l) => [
    gradients[`net.${2 * l}.weight`],
    gradients[`net.${2 * l}.bias`],
  ]);
  const values = [loss, ...parts.flat().flatMap((part) => [...part])];
  const result = { shape: [values.length], data: Float32Array.from(values) };
  if (isLikelihood) return { result };
  return { result, x0: { shape: [checkedCount, flow.dim], data: x0 }, t: { shape: [checkedCount, 1], data: t } };
}

/**
 * Inputs and our results on a few particles, as tensors `<id>/x`, `<id>/result` and, for Hutchinson, `<id>/probes` [probes, n, dim],
 * for flow matching `<id>/x0` and `<id>/t`. The result of training is the loss and the gradient in one vector.
 * @returns {Promise<Record<string, { shape: number[], data: Float32Array }>>}
 */
export async function checksOf(works, flows) {
  const tensors = {};
  for (const work of works) {
    const flow = flows[work.network];
    const { dim } = flow;
    const x = points(checkedCount * dim, 7);
    tensors[`${work.id}/x`] = { shape: [checkedCount, dim], data: x };
    if (work.kind === "train") {
      for (const [part, tensor] of Object.entries(await gradientOf(work, flow, x)))
        tensors[`${work.id}/${part}`] = tensor;
      continue;
    }
    if (work.kind === "sample") {
      const { x: data } = await flow.push(x, { solver: solverOf(work) });
      tensors[`${work.id}/result`] = { shape: [checkedCount, dim], data };
      continue;
    }
    let divergence = "exact";
    if (work.probes > 0) {
      const vectors = points(work.probes * checkedCount * dim, 11).map((value) => (value < 0 ? -1 : 1));
      tensors[`${work.id}/probes`] = { shape: [work.probes, checkedCount, dim], data: vectors };
      divergence = { probe: "rademacher", probes: work.probes, vectors };
    }
    const { logProb: data } = await flow.logProb(x, { solver: solverOf(work), divergence });
    tensors[`${work.id}/result`] = { shape: [checkedCount], data };
  }
  return tensors;
}

/** Runs the work once, to the end; training does `stepsPerRun` steps. */
async function runOnce(work, flow, n, data, stepsPerRun, round) {
  const solver = solverOf(work);
  if (work.kind === "sample") {
    const result = await flow.sample(n, { solver, seed: round, output: "gpu" });
    // Every array of the result is a buffer of ours to destroy.
    for (const value of Object.values(result)) if (value instanceof GPUBuffer) value.destroy();
    return;
  }
  if (work.kind === "likelihood") {
    const divergence = work.probes > 0 ? { probe: "rademacher", probes: work.probes } : "exact";
    await flow.logProb(data, { solver, divergence, seed: round });
    return;
  }
  const options = { steps: stepsPerRun, batchSize: n, logEvery: stepsPerRun, seed: round };
  const training =
    work.objective === "likelihood"
      ? trainMaximumLikelihood(flow, data, { ...options, solver, divergence: "exact" })
      : trainFlowMatching(flow, data, options);
  for await (const { loss } of training)
    if (!Number.isFinite(loss)) throw new Error(`${work.id}: the loss is ${loss}, so nothing is reported`);
}

/**
 * Seconds per run (per training step), after two runs that compile and warm up.
 * @returns {Promise<{ n: number, times: number[] }>}
 */
export async function measure(work, flow, { quick, rounds }) {
  const n = quick ? work.quick : work.n;
  const stepsPerRun = quick ? 2 : (work.stepsPerRun ?? 1);
  const rows = work.kind === "train" ? 10_000 : n;
  const data = work.kind === "sample" ? undefined : points(rows * flow.dim, 3);
  const calls = work.kind === "train" ? stepsPerRun : 1;
  const times = [];
  for (let round = 0; round < rounds + 2; round++) {
    const start = performance.now();
    await runOnce(work, flow, n, data, stepsPerRun, round);
    if (round >= 2) times.push((performance.now() - start) / 1000 / calls);
  }
  return { n, times };
}
