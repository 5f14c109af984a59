import { dispatchOf } from "../../shaders/dispatch.ts";
import { type HeldShape, heldDenseKernel, heldWorkgroup } from "../../shaders/held-dense.ts";
import { numbered } from "../../shaders/interface.ts";
import { weightWindow } from "../../shaders/tiling.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { fault } from "../must.ts";
import { type DenseCall, denseNumbers, type ParticleRange, planDense, vectorRanges } from "./dense.ts";
import { finishOf, forAnyBatch } from "./finish.ts";
import type { LinearPlan } from "./rows.ts";
import { type WeightPlaces, weightNames } from "./weights.ts";

/** Most inputs that an invocation holds. */
const mostInputs = 128;

/** Fewer outputs do not pay for holding the inputs. */
const fewestOutputs = 8;

/** Inputs that are held for so many: few sizes, so that few kernels are compiled. */
export const heldInputs = (inputs: number) => (inputs <= 16 ? 4 * Math.ceil(inputs / 4) : 16 * Math.ceil(inputs / 16));

/**
 * Plans the products whose inputs an invocation can hold, on adapters in software, with both packings at hand, since it reads that of
 * the other direction. Undefined for the others. Where layers `share` their texts, what is made of a sum is one of few things, so that
 * few kernels are compiled: see finish.ts, whose buffers are then needed.
 */
export function heldPlanner(places: WeightPlaces, subgroup: number, share: boolean): LinearPlan {
  return (given, { transposed, tensor, from, bias }, range) => {
    const call = share ? { ...given, cluster: forAnyBatch(given.cluster) } : given;
    const { inputs, outputs, names, cluster } = call;
    if (inputs > mostInputs || outputs < fewestOutputs || (!transposed && from % 4 !== 0))
      return share ? planDense({ ...call, sharesText: true }, range) : undefined;
    const { weights, rowVectors } = places.matrix(tensor, !transposed);
    const held = {
      ...call,
      weights: weights + (transposed ? from * rowVectors : from / 4),
      rowVectors,
      bias: bias === undefined ? undefined : places.bias(bias, !transposed),
      names: { ...names, weights: transposed ? weightNames.forward : weightNames.backward },
    };
    const finish = share ? finishOf(cluster, names.cluster, names.in) : undefined;
    if (!finish) return planHeld(held, cluster.shape, range, subgroup);
    const made = { numbers: finish.numbers, shape: cluster.shape };
    return planHeld(
      { ...held, cluster: made, names: { ...held.names, cluster: finish.buffers } },
      finish.finish,
      range,
      subgroup,
    );
  };
}

/** As planDense, with the places in the packing of the other direction, and what is made of each sum. */
function planHeld(call: DenseCall, cluster: HeldShape["cluster"], range: ParticleRange, subgroup: number): Dispatch[] {
  const { inputs, outputs, batch, names } = call;
  // lavapipe compiles two vectors of a hundred inputs four times as long as one
  const vectors = subgroup === 4 ? 2 : 1;
  const { step: aligned } = weightWindow;
  const begin = aligned * Math.floor(call.weights / aligned);
  const window = call.weights - begin + outputs * call.rowVectors <= weightWindow.vectors;
  const kernel = heldDenseKernel({
    bias: call.bias !== undefined,
    cluster,
    tile: { inputs: heldInputs(inputs), vectors, subgroup, parts: inputs > 64 && subgroup !== 4 ? 2 : 1, window },
  });
  const step = vectors * heldWorkgroup({ subgroup });
  const { capacity } = range;
  const stride = capacity / 4;
  if (stride % step !== 0) throw fault(`a batch of ${capacity} particles is not of whole workgroups of ${4 * step}`);
  const perVector = 4 * (2 * inputs + call.work) * outputs * batch;
  return Array.from(vectorRanges(range, step, perVector), ([first, now]) =>
    dispatchOf(kernel, {
      params: {
        ...denseNumbers(call, { first, vectors: now, stride }),
        weights: window ? call.weights - begin : call.weights,
      },
      buffers: {
        weights: names.weights,
        input: names.in,
        biases: window && call.bias !== undefined ? names.weights : undefined,
        ...numbered("b", names.cluster),
      },
      ...(window && { offsets: { weights: 16 * begin } }),
      workgroups: [now / step, 1, batch],
      flops: now * perVector,
    }),
  );
}
