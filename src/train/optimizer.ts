import { averageDecay, normParts, planAdam, planReduceGradient, planSum } from "../../shaders/optimizer.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { Network, ParameterTensor } from "../network/network.ts";
import type { TrainingState } from "./checkpoint.ts";
import type { OptimizerSettings } from "./optimizer-settings.ts";

/** How a training takes a step once its gradient is in parts. */
export interface OptimizerPlan {
  buffers(start: TrainingState): PlannedBuffer[];
  /** "partials" of so many segments → "gradient", of which they are a part, from 0; behind the last one its norm where that is needed. */
  gradient(segments: number, part: number, parts: number): Dispatch[];
  /** "gradient" → "parameters" and their "average"; `step` from 1. */
  step(step: number, learningRate: number, maxFlops: number): Dispatch[];
}

/** @throws PushforwardError `unsupported` when there is nothing for Muon to do. */
export async function optimizerPlan(
  what: string,
  network: Network,
  settings: OptimizerSettings,
  frozen: readonly ParameterTensor[],
  isSoftware: boolean,
): Promise<OptimizerPlan> {
  const { parameterCount: count } = network;
  const { muon, ema, gradientClip } = settings;
  const clips = gradientClip !== undefined;
  const matrices =
    muon && (await import("./muon.ts")).muonPlan(what, network, muon, { isSoftware, gradientClip, frozen });
  const others = [...frozen, ...(matrices?.matrices ?? [])];
  const passed = others.length > 0 ? bits(count, others) : undefined;
  const still = clips && frozen.length > 0 ? bits(count, frozen) : undefined;
  return {
    buffers: ({ first, second, average }) => [
      { name: "adam.m", bytes: count * 4, data: first },
      { name: "adam.v", bytes: count * 4, data: second },
      ...(clips
        ? [
            { name: "norm", bytes: 4 },
            { name: "norm.parts", bytes: normParts(count) * 4 },
          ]
        : []),
      ...(ema !== undefined && average ? [{ name: "average", bytes: count * 4, data: average }] : []),
      ...(passed ? [{ name: "adam.passed", bytes: passed.byteLength, data: passed }] : []),
      ...(still ? [{ name: "frozen", bytes: still.byteLength, data: still }] : []),
      ...(matrices?.buffers ?? []),
    ],
    gradient(segments, part, parts) {
      const norm = clips && part === parts - 1;
      return [
        planReduceGradient({ count, segments, norm, part, parts, frozen: norm && still ? "frozen" : undefined }),
        ...(norm ? [planSum({ count: normParts(count), scale: 1, add: false, from: "norm.parts", to: "norm" })] : []),
      ];
    },
    step: (step, learningRate, maxFlops) => [
      planAdam({ count, step, learningRate, settings, passed: passed && "adam.passed" }),
      ...(matrices?.step({ learningRate, average: ema && averageDecay(ema, step), maxFlops }) ?? []),
    ],
  };
}

/** A bit for each parameter, set for those of some tensors. */
function bits(count: number, tensors: readonly ParameterTensor[]): Uint32Array {
  const words = new Uint32Array(Math.ceil(count / 32));
  for (const { offset, size } of tensors)
    for (let i = offset; i < offset + size; i++) words[i >>> 5] = (words[i >>> 5] as number) | (1 << (i & 31));
  return words;
}
