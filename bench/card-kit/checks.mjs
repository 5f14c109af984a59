// The inputs and our results on a few particles, which PyTorch must reproduce before its time counts.
import { flowMatchingGradients, likelihoodGradients } from "pushforward";

/** Particles whose results are compared. */
const checkedCount = 64;

/** Numbers that look like points of a normal distribution, the same on every machine. */
export function points(count, seed) {
  const values = new Float32Array(count);
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < count; i++) values[i] = 1.5 * (next() + next() + next() + next() - 2);
  return values;
}

/** The solver of a work. */
export const solverOf = ({ method, steps }) =>
  method === "dopri5" ? { method, rtol: 1e-5, atol: 1e-5 } : { method, steps };

/** The divergence of a work, as the library takes it. */
export const divergenceOf = ({ probes }) => (probes > 0 ? { probe: "rademacher", probes } : "exact");

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
