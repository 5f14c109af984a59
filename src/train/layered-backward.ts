import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { planBend, planCouple, planPenalise, planScaleTangents, planTangentEnds } from "../kernels/bend.ts";
import { type DenseCall, planDense } from "../kernels/dense.ts";
import type { Penalty } from "../kernels/gradient.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { gradientCopies } from "../kernels/weight-gradient.ts";
import { backwardLayers, denseBackwardLayout, denseForwardLayout, forwardLayers } from "../velocity/dense-layout.ts";
import { denseWeights, planBackward, planForward } from "../velocity/layered.ts";
import { layerSizes, type MlpVelocity, parameterCount } from "../velocity/mlp.ts";
import type { Backward, Batch, PassTangents } from "./backward.ts";
import { planResidual } from "./dispatches.ts";
import { planWeightGradients } from "./layer-gradients.ts";

/** Tangents that share the recomputed values of a pass. */
const tangentsPerPass = 4;

/** Any network: a dense kernel per layer and direction, activations in device memory. */
export function layeredBackward(gpu: Gpu, velocity: MlpVelocity): Backward {
  const { dim } = velocity;
  const sizes = layerSizes(velocity);
  const [inputs = 0] = sizes;
  const hidden = sizes.slice(1, -1);
  const widest = Math.max(...hidden, 0);
  const up = forwardLayers(velocity);
  const down = backwardLayers(velocity);
  const range = (batch: Batch) => ({ ...batch, velocity, subgroup: subgroupForWeights(gpu.info) });

  /** Gradients of all layers from values, `cotangent` being the one of the output. */
  const valueGradients = (batch: Batch, cotangent: string, begin: boolean) =>
    planWeightGradients({
      info: gpu.info,
      velocity,
      batch,
      vectors: batch.capacity / 4,
      values: batch.capacity / 4,
      begin,
      layers: Array.from({ length: hidden.length + 1 }, (_, l) => ({
        cotangents: { name: l === hidden.length ? cotangent : `abar${l + 1}`, row: 0 },
        activations: { name: `h${l}`, row: 0 },
      })),
    });

  const tangentGradients = (batch: Batch, s: number) =>
    planWeightGradients({
      info: gpu.info,
      velocity,
      batch,
      vectors: batch.capacity / 4,
      values: 0,
      begin: false,
      layers: Array.from({ length: hidden.length + 1 }, (_, l) => ({
        cotangents: { name: l === hidden.length ? "dtop" : `dbar${l + 1}`, row: s * (sizes[l + 1] ?? 0) },
        activations: { name: l === 0 ? "drows" : `d${l}`, row: s * (sizes[l] ?? 0) },
      })),
    });

  const dense = (
    batch: Batch,
    packed: "forward" | "backward",
    l: number,
    o: Pick<DenseCall, "inputs" | "outputs" | "bias"> & { in: string; out: string; batch?: DenseCall["batch"] },
  ) => {
    const layer = (packed === "forward" ? up : down)[l];
    if (!layer) throw new Error(`the network has no layer ${l}`);
    return planDense(
      {
        layer,
        inputs: o.inputs,
        outputs: o.outputs,
        epilogue: "none",
        bias: o.bias,
        activation: velocity.activation,
        ...(o.batch ? { batch: o.batch } : {}),
        names: { weights: denseWeights[packed], in: o.in, out: o.out },
      },
      range(batch),
    );
  };

  /** Values up the layers with φ′ and φ″, then the tangents behind them. */
  function forwardWithTangents(batch: Batch, tangents: number): Dispatch[] {
    const { capacity } = batch;
    return hidden.flatMap((width, l) => {
      const from = sizes[l] ?? 0;
      return [
        ...dense(batch, "forward", l, { inputs: from, outputs: width, bias: true, in: `h${l}`, out: "sums" }),
        planBend({
          activation: velocity.activation,
          width,
          capacity,
          names: { sums: "sums", value: `h${l + 1}`, slope: `g${l + 1}`, curvature: `c${l + 1}` },
        }),
        ...dense(batch, "forward", l, {
          // x comes first among our inputs, so the rows that move with a tangent are the first `dim`
          inputs: l === 0 ? dim : from,
          outputs: width,
          bias: false,
          in: l === 0 ? "drows" : `d${l}`,
          out: `raw${l + 1}`,
          batch: { count: tangents, inRows: from, outRows: width },
        }),
        planScaleTangents({
          tangents,
          width,
          capacity,
          names: { slope: `g${l + 1}`, raw: `raw${l + 1}`, scaled: `d${l + 1}` },
        }),
      ];
    });
  }

  function reverseWithTangents(batch: Batch, tangents: number, cotangent: string, xbar: string): Dispatch[] {
    const { capacity } = batch;
    const dispatches: Dispatch[] = [];
    for (let l = hidden.length; l >= 1; l--) {
      const width = sizes[l] ?? 0;
      const from = sizes[l + 1] ?? 0;
      const top = l === hidden.length;
      dispatches.push(
        ...dense(batch, "backward", l, {
          inputs: from,
          outputs: width,
          bias: false,
          in: top ? cotangent : `abar${l + 1}`,
          out: `abar${l}`,
        }),
        ...dense(batch, "backward", l, {
          inputs: from,
          outputs: width,
          bias: false,
          in: top ? "dtop" : `dbar${l + 1}`,
          out: `dbar${l}`,
          batch: { count: tangents, inRows: from, outRows: width },
        }),
        planCouple({
          tangents,
          width,
          capacity,
          names: {
            slope: `g${l}`,
            curvature: `c${l}`,
            raw: `raw${l}`,
            tangentCotangents: `dbar${l}`,
            cotangents: `abar${l}`,
          },
        }),
      );
    }
    const bottom = hidden.length > 0 ? "abar1" : cotangent;
    dispatches.push(
      ...dense(batch, "backward", 0, { inputs: sizes[1] ?? 0, outputs: dim, bias: false, in: bottom, out: xbar }),
    );
    return dispatches;
  }

  /** The outputs u and ∂u/∂x v_s of a pass, and their penalties' cotangents, which join those of the pass. */
  function penalties(batch: Batch, tangents: number, cotangent: string, penalty: Penalty): Dispatch[] {
    const l = hidden.length;
    const from = sizes[l] ?? 0;
    return [
      ...dense(batch, "forward", l, { inputs: from, outputs: dim, bias: true, in: `h${l}`, out: "u" }),
      ...dense(batch, "forward", l, {
        inputs: l === 0 ? dim : from,
        outputs: dim,
        bias: false,
        in: l === 0 ? "drows" : `d${l}`,
        out: "jv",
        batch: { count: tangents, inRows: from, outRows: dim },
      }),
      planPenalise({ ...batch, dim, tangents, penalty, names: { cotangent, top: "dtop" } }),
    ];
  }

  function tangentPass(
    batch: Batch,
    tangents: PassTangents,
    cotangent: string,
    xbar: string,
    begin: boolean,
    penalty: Penalty | undefined,
  ) {
    return [
      planTangentEnds({
        capacity: batch.capacity,
        count: batch.count,
        dim,
        inputs,
        first: tangents.first,
        tangents: tangents.count,
        weight: tangents.weight,
        names: { rows: "drows", top: "dtop", probes: tangents.probes },
      }),
      ...forwardWithTangents(batch, tangents.count),
      ...(penalty ? penalties(batch, tangents.count, cotangent, penalty) : []),
      ...reverseWithTangents(batch, tangents.count, cotangent, xbar),
      ...valueGradients(batch, cotangent, begin),
      ...Array.from({ length: tangents.count }, (_, s) => tangentGradients(batch, s)).flat(),
    ];
  }

  return {
    packings: [
      { name: denseWeights.forward, layout: denseForwardLayout(velocity) },
      { name: denseWeights.backward, layout: denseBackwardLayout(velocity) },
    ],
    copies: (capacity) => gradientCopies(gpu.info, capacity, parameterCount(velocity)),
    mostTangents: tangentsPerPass,
    buffers(capacity, tangents): PlannedBuffer[] {
      const rows = (name: string, features: number) => ({ name, bytes: features * capacity * 4 });
      return [
        ...hidden.flatMap((width, l) => ["h", "g", "abar"].map((name) => rows(`${name}${l + 1}`, width))),
        ...["u", "ubar"].map((name) => rows(name, dim)),
        ...(tangents === 0
          ? []
          : [
              rows("sums", widest),
              rows("drows", tangents * inputs),
              rows("dtop", tangents * dim),
              rows("jv", tangents * dim),
              ...hidden.flatMap((width, l) => [
                rows(`c${l + 1}`, width),
                ...["raw", "d", "dbar"].map((name) => rows(`${name}${l + 1}`, tangents * width)),
              ]),
            ]),
      ];
    },
    residual: (batch) => [
      ...planForward({ ...range(batch), slopes: true }),
      planResidual({ dim, capacity: batch.capacity, count: batch.count }),
      ...planBackward({ ...range(batch), xbar: false }),
      ...valueGradients(batch, "ubar", true),
    ],
    velocity: (batch, output) => planForward({ ...range(batch), slopes: false, output }),
    pass: (batch, { cotangent, xbar, tangents, begin, penalty }) =>
      tangents.count > 0
        ? tangentPass(batch, tangents, cotangent, xbar, begin, penalty)
        : [
            ...planForward({ ...range(batch), slopes: true }),
            ...planBackward({ ...range(batch), xbar: true, cotangent, output: xbar }),
            ...valueGradients(batch, cotangent, begin),
          ],
  };
}
