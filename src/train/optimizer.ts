import {
  averageDecay,
  normParts,
  partialStride,
  placesName,
  planAdam,
  planReduceGradient,
  planSum,
} from "../../shaders/optimizer.ts";
import { mostBuffers } from "../../shaders/stages.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import type { Network, ParameterTensor } from "../network/network.ts";
import { zero } from "../velocity/parameters.ts";
import type { MatchingBackward } from "./backward.ts";
import type { TrainingState } from "./checkpoint.ts";
import type { OptimizerSettings } from "./optimizer-settings.ts";

/** How a training takes a step once its gradient is in parts. */
export interface OptimizerPlan {
  buffers(start: TrainingState): PlannedBuffer[];
  /** "partials" of a part of the batch → "gradient"; behind the last one its norm where that is needed. */
  gradient(part: number): Dispatch[];
  /** The gradient → "parameters" and their "average"; `step` from 1. */
  step(step: number, learningRate: number, maxFlops: number): Dispatch[];
  /** Whether a step leaves the new weights in the packings, too. */
  readonly packs: boolean;
}

/** What a step is given: a gradient in so many segments, for each of so many parts of the batch. */
interface GivenGradient {
  readonly segments: number;
  readonly parts: number;
  /** What the next gradient reads. */
  readonly packings: MatchingBackward["packings"];
}

/** @throws PushforwardError `unsupported` when there is nothing for Muon to do. */
export async function optimizerPlan(
  what: string,
  network: Network,
  settings: OptimizerSettings,
  frozen: readonly ParameterTensor[],
  isSoftware: boolean,
  { segments, parts, packings }: GivenGradient,
): Promise<OptimizerPlan> {
  const { parameterCount: count } = network;
  const { muon, ema, gradientClip } = settings;
  const clips = gradientClip !== undefined;
  const matrices =
    muon && (await import("./muon.ts")).muonPlan(what, network, muon, { isSoftware, gradientClip, frozen });
  const others = [...frozen, ...(matrices?.matrices ?? [])];
  const passed = others.length > 0 ? bits(count, others) : undefined;
  const still = clips && frozen.length > 0 ? bits(count, frozen) : undefined;
  // a gradient that nobody else reads is added up by the step itself
  const sums = parts === 1 && !clips && !matrices;
  const bound = [clips, ema !== undefined, passed !== undefined].filter(Boolean).length;
  // gradient, parameters, two moments and the places
  const places = matrices || 5 + bound + packings.length > mostBuffers ? undefined : placesIn(packings, count);
  return {
    packs: places !== undefined,
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
      ...(places ? [{ name: placesName, bytes: places.byteLength, data: places }] : []),
      ...(matrices?.buffers ?? []),
    ],
    gradient(part) {
      if (sums) return [];
      const norm = clips && part === parts - 1;
      const frozen = norm && still ? "frozen" : undefined;
      return [
        planReduceGradient({ count, segments, norm, part, parts, frozen }),
        ...(norm ? [planSum({ count: normParts(count), scale: 1, add: false, from: "norm.parts", to: "norm" })] : []),
      ];
    },
    step: (step, learningRate, maxFlops) => [
      planAdam({
        count,
        step,
        learningRate,
        settings,
        passed: passed && "adam.passed",
        segments: sums ? segments : undefined,
        packings: places && packings.map(({ name }) => name),
      }),
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

/** Where each parameter is in each packing, padded to vectors; undefined where it is in one more than once. The place behind a packing is nobody's. */
function placesIn(packings: GivenGradient["packings"], count: number): Uint32Array | undefined {
  const stride = partialStride(count);
  const places = new Uint32Array(packings.length * stride);
  for (const [k, { layout }] of packings.entries()) {
    const { source, half } = layout;
    const own = places.subarray(k * stride, (k + 1) * stride).fill(source.length);
    for (const [place, parameter] of source.entries()) {
      if (parameter === zero) continue;
      if (half || own[parameter] !== source.length) return undefined;
      own[parameter] = place;
    }
  }
  return places;
}
