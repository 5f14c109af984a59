import type { GradientNetwork } from "../../shaders/narrow-gradient.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { PlannedBuffer } from "../gpu/kernel.ts";
import { gradientNames, gradientTiling, planNarrowGradient } from "../kernels/gradient.ts";
import { gradientCopies } from "../kernels/weight-gradient.ts";
import { gradientLayouts } from "../velocity/gradient-layout.ts";
import { type MlpVelocity, parameterCount } from "../velocity/mlp.ts";
import type { Backward, Batch } from "./backward.ts";
import { planWeightGradients } from "./layer-gradients.ts";

/** Tangents that share a pass with the value: more of them would crowd the registers. */
const tangentsPerPass = 2;

/** Narrow networks: forward and reverse in one kernel, then a weight gradient per layer. */
export function fusedBackward(gpu: Gpu, velocity: MlpVelocity, network: GradientNetwork): Backward {
  const { inputs, dim, layers, width } = network;
  const maxUniformBytes = gpu.device.limits.maxUniformBufferBindingSize;
  const tilingFor = (tangents: number) => gradientTiling(gpu.info, maxUniformBytes, network, tangents);
  const layouts = gradientLayouts(velocity, network, tilingFor(0).outputs);

  const common = (batch: Batch, tangents: number) => ({ ...batch, network, tiling: tilingFor(tangents), tangents });
  const weightGradients = (batch: Batch, tangents: number, begin: boolean) =>
    planWeightGradients({
      info: gpu.info,
      velocity,
      batch,
      vectors: (batch.capacity / 4) * (1 + tangents),
      values: batch.capacity / 4,
      begin,
      layers: Array.from({ length: layers + 1 }, (_, l) => ({
        cotangents: { name: gradientNames.cotangents, row: l * width },
        activations: { name: gradientNames.activations, row: l === 0 ? 0 : inputs + (l - 1) * width },
      })),
    });

  return {
    packings: [
      { name: gradientNames.forward, layout: layouts.forward },
      { name: gradientNames.reverse, layout: layouts.reverse },
    ],
    copies: (capacity) => gradientCopies(gpu.info, capacity, parameterCount(velocity)),
    mostTangents: tangentsPerPass,
    buffers(capacity, tangents): PlannedBuffer[] {
      const rows = (name: string, features: number) => ({ name, bytes: features * capacity * 4 });
      return [
        rows(gradientNames.activations, (inputs + layers * width) * (1 + tangents)),
        rows(gradientNames.cotangents, (layers * width + dim) * (1 + tangents)),
      ];
    },
    residual: (batch) => [
      ...planNarrowGradient({
        ...common(batch, 0),
        task: "residual",
        kind: "basis",
        scale: 2 / (batch.count * dim),
        names: { inputs: "h0", target: "target", squares: "squares" },
      }),
      ...weightGradients(batch, 0, true),
    ],
    velocity: (batch, output) =>
      planNarrowGradient({
        ...common(batch, 0),
        task: "forward",
        kind: "basis",
        scale: 0,
        names: { inputs: "h0", velocity: output },
      }),
    pass: (batch, { cotangent, xbar, tangents, begin, penalty }) => [
      ...planNarrowGradient({
        ...common(batch, tangents.count),
        task: "cotangent",
        kind: tangents.probes === undefined ? "basis" : "given",
        firstTangent: tangents.first,
        scale: tangents.weight,
        penalty,
        names: {
          inputs: "h0",
          cotangent,
          xbar,
          ...(tangents.probes === undefined ? {} : { probes: tangents.probes }),
        },
      }),
      ...weightGradients(batch, tangents.count, begin),
    ],
  };
}
