import { InvalidArgumentError } from "commander";
import type { MlpInitial, NeighbourNoise, TimeDistribution } from "pushforward";
import { integer } from "../src/options/schema.ts";
import { neighbourNoiseFields } from "../src/train/later-fields.ts";
import { judged, numberList } from "./judged.ts";

/** Readers of what has a syntax of its own among the options of `train`. */

/** "uniform", "stratified", "logit-normal:0,1" or "beta:2,1". */
export function timeDistribution(text: string): Exclude<TimeDistribution, (u: number) => number> {
  if (text === "uniform" || text === "stratified") return text;
  const [, name, numbers = ""] = /^(logit-normal|beta):(.*)$/.exec(text) ?? [];
  try {
    const pair = numberList("0,1", 2)(numbers) as [number, number];
    if (name === "logit-normal") return { logitNormal: pair };
    if (name === "beta") return { beta: pair };
  } catch {
    // said below, with all that there is
  }
  throw new InvalidArgumentError(
    "expected uniform, stratified, logit-normal:MEAN,STD as in logit-normal:0,1, or beta:A,B as in beta:2,1.",
  );
}

/** "0.05", "neighbours:0.3" or "neighbours:0.3,8". */
export function noiseLevel(text: string): number | NeighbourNoise {
  const [, rest] = /^neighbours:(.*)$/.exec(text) ?? [];
  const { factor, neighbour } = neighbourNoiseFields;
  if (rest === undefined) return judged(factor.check)(text);
  const [first = "", second, ...more] = rest.split(",");
  if (more.length > 0)
    throw new InvalidArgumentError("expected a standard deviation, or neighbours:FACTOR,K as in neighbours:0.3,8.");
  return {
    factor: judged(factor.check)(first),
    ...(second !== undefined && { neighbour: judged(neighbour.check)(second) }),
  };
}

/** "32", "32:4" or "32:4:1": count, scale and seed of frequencies. */
export function fourierFeatures(text: string): { count: number; scale?: number; seed?: number } {
  const [count = "", scale, seed, ...more] = text.split(":");
  const positive = scale === undefined || Number(scale) > 0;
  if (more.length === 0 && positive)
    return {
      count: judged(integer(1, 4096))(count),
      ...(scale !== undefined && { scale: Number(scale) }),
      ...(seed !== undefined && { seed: judged(integer(0))(seed) }),
    };
  throw new InvalidArgumentError("expected COUNT:SCALE:SEED, of which the last two may be left out, as in 32:4.");
}

/** "first=1..30,hidden=2,output=0.1". */
export function initialWeights(text: string): MlpInitial {
  const initial: Record<string, unknown> = {};
  for (const part of text.split(",")) {
    const [, name = "", value = ""] = /^\s*(first|hidden|output)=(.+?)\s*$/.exec(part) ?? [];
    const [, low, high] = /^(.+?)\.\.(.+)$/.exec(value) ?? [];
    if (name === "first" && low !== undefined) {
      initial.first = { frequencies: numberList("1,30", 2)(`${low},${high}`) };
    } else if (value === "default" || (name === "output" && value === "zero")) initial[name] = value;
    else if (name !== "" && Number.isFinite(Number(value))) initial[name] = Number(value);
    else
      throw new InvalidArgumentError(
        "expected parts such as first=1..30,hidden=2,output=0.1: frequencies or a number for the first layer, numbers for the others.",
      );
  }
  return initial;
}
