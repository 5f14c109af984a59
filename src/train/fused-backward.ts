import type { GradientNetwork } from "../../shaders/narrow-gradient.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { gradientNames, gradientTiling, planNarrowGradient } from "../kernels/narrow-gradient.ts";
import { gradientCopies, type WeightGradientCall } from "../kernels/weight-gradient.ts";
import { item, must } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { wholeBuffer } from "../network/stages.ts";
import { gradientLayouts } from "../velocity/gradient-layout.ts";
import { timeInputs } from "../velocity/plain-mlp.ts";
import { inputPlaces, Run } from "../velocity/run.ts";
import type { Backward, Batch, PassTangents } from "./backward.ts";
import { type LayerGradient, planLayerGradient } from "./layer-gradients.ts";

/** Tangents that share a pass with the value: more of them would crowd the registers. */
const tangentsPerPass = 2;

/** The first layer's inputs where these are not "h0" itself: x, waves of the time, label and context, in "features". */
function featureRun(velocity: MlpVelocity): Run | undefined {
  if (velocity.time === "concat") return undefined;
  // the first layer of the same network with x first
  const { program } = networkOf({ ...velocity, inputOrder: "x,t" });
  const value = must(
    program.steps.find((step) => step.kind === "linear"),
    "the first layer of an mlp",
  ).of;
  const outputs = [{ value, place: wholeBuffer("features", program.width(value)) }];
  const network = networkOf(velocity);
  return new Run(network, program, { inputs: inputPlaces(network, "h0"), outputs, prefix: "f" });
}

/** A pass's tangents as the kernel is told of them. */
const kernelTangents = (tangents: PassTangents) =>
  "matrix" in tangents
    ? { kind: "matrix" as const, scale: 0 }
    : {
        kind: tangents.probes === undefined ? ("basis" as const) : ("given" as const),
        firstTangent: tangents.first,
        scale: tangents.weight,
      };

/** The buffer that they are read from. */
function rowsOf(tangents: PassTangents): { probes?: string } {
  const probes = "matrix" in tangents ? tangents.matrix : tangents.probes;
  return probes === undefined ? {} : { probes };
}

/** Narrow networks: forward and reverse in one kernel, then a weight gradient per layer. */
export function fusedBackward(gpu: Gpu, velocity: MlpVelocity, shape: GradientNetwork): Backward {
  const network = networkOf(velocity);
  const { inputs, dim, layers, width } = shape;
  const maxUniformBytes = gpu.device.limits.maxUniformBufferBindingSize;
  const tilingFor = (tangents: number) => gradientTiling(gpu.info, maxUniformBytes, shape, tangents);
  const layouts = gradientLayouts(velocity, shape, tilingFor(0).outputs);
  const features = featureRun(velocity);
  const given = features ? "features" : "h0";

  const common = (batch: Batch, tangents: number) => ({
    ...batch,
    network: shape,
    tiling: tilingFor(tangents),
    tangents,
  });
  const prepare = (batch: Batch) => features?.early({ ...batch, tangents: 0 }) ?? [];

  /** Columns of the first matrix that stand side by side in the network's order and in ours: x, time, then label and context. */
  const firstColumns = (): { from: number; row: number; inputs: number }[] => {
    if (velocity.inputOrder === "x,t") return [{ from: 0, row: 0, inputs }];
    const time = timeInputs(velocity);
    const rest = inputs - dim - time;
    return [
      { from: time, row: 0, inputs: dim },
      { from: 0, row: dim, inputs: time },
      ...(rest > 0 ? [{ from: dim + time, row: dim + time, inputs: rest }] : []),
    ];
  };

  const layerGradients = Array.from({ length: layers + 1 }, (_, l): LayerGradient[] => {
    const { activations, cotangents } = gradientNames;
    const outputs = velocity.hidden[l] ?? dim;
    const layer = { outputs, cotangents: { name: cotangents, row: l * width } };
    const tensor = `net.${2 * l}.weight`;
    const vector = `net.${2 * l}.bias`;
    if (l > 0) {
      const of = { name: activations, row: inputs + (l - 1) * width };
      return [{ ...layer, vector, matrix: { tensor, from: 0, inputs: item(velocity.hidden, l - 1), of } }];
    }
    return firstColumns().map(({ from, row, inputs }, part) => ({
      ...layer,
      vector: part === 0 ? vector : undefined,
      matrix: { tensor, from, inputs, of: { name: activations, row } },
    }));
  }).flat();

  function weightGradients(batch: Batch, tangents: number, sum: WeightGradientCall["sum"]): Dispatch[] {
    const values = batch.capacity / 4;
    const rows = { info: gpu.info, network, batch, vectors: values * (1 + tangents), values, sum };
    return layerGradients.flatMap((layer) => planLayerGradient(rows, layer));
  }

  return {
    packings: [
      { name: gradientNames.forward, layout: layouts.forward },
      { name: gradientNames.reverse, layout: layouts.reverse },
    ],
    copies: (capacity) => gradientCopies(gpu.info, capacity, network.parameterCount),
    mostTangents: tangentsPerPass,
    buffers(capacity, { count: tangents }): PlannedBuffer[] {
      const rows = (name: string, features: number) => ({ name, bytes: features * capacity * 4 });
      return [
        rows(gradientNames.activations, (inputs + layers * width) * (1 + tangents)),
        rows(gradientNames.cotangents, (layers * width + dim) * (1 + tangents)),
        ...(features ? [rows("features", inputs), ...features.buffers(capacity, 0)] : []),
      ];
    },
    residual: (batch) => [
      ...prepare(batch),
      ...planNarrowGradient({
        ...common(batch, 0),
        task: "residual",
        kind: "basis",
        ...(batch.weighted && { weighted: true as const }),
        scale: 2 / (batch.count * dim),
        names: { inputs: given, target: "target", squares: "squares" },
      }),
      ...weightGradients(batch, 0, "only"),
    ],
    velocity: (batch, output, tangents) => [
      ...prepare(batch),
      ...planNarrowGradient({
        ...common(batch, tangents?.count ?? 0),
        task: "forward",
        kind: tangents ? "matrix" : "basis",
        scale: 0,
        names: { inputs: given, velocity: output, ...(tangents && { probes: tangents.matrix }) },
      }),
    ],
    pass: (batch, { cotangent, xbar, tangents, begin, penalty }) => [
      ...prepare(batch),
      ...planNarrowGradient({
        ...common(batch, tangents.count),
        ...kernelTangents(tangents),
        task: "cotangent",
        penalty,
        names: { inputs: given, cotangent, xbar, ...rowsOf(tangents) },
      }),
      ...weightGradients(batch, tangents.count, begin ? "first" : "added"),
    ],
  };
}
