import { InvalidArgumentError, Option } from "commander";
import type { Flow, FlowOptions, Gpu, Solver, StochasticOptions } from "pushforward";
import { item } from "../src/must.ts";
import { pathNames } from "../src/path/names.ts";
import { type SolverOptions, solverOf } from "./arguments.ts";
import { UsageError } from "./context.ts";
import { shown } from "./file-errors.ts";
import { type ModelFile, readModel } from "./model.ts";

/** g from t = 0 to t = 1, in between on a straight line. */
type Diffusion = readonly [from: number, to: number];

/** Options of paths with noise. */
export interface NoiseOptions {
  diffusion?: Diffusion;
  score?: string;
}

/** "0.5" → g = 0.5 at all times, "1:0" → from 1 at t = 0 to 0 at t = 1. */
function diffusionOf(text: string): Diffusion {
  const values = text.split(":").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (values.length <= 2 && values.every((g) => g >= 0 && g <= 1e30))
    return [item(values, 0), item(values, values.length - 1)];
  throw new InvalidArgumentError(
    "expected a number of at least 0 as in 0.5, or two, at t = 0 and at t = 1, as in 1:0.",
  );
}

export const noiseOptions = () => [
  new Option(
    "--diffusion <g>",
    "paths with noise (SDE) of the same densities: how much, or from:to as in 1:0, by --method heun2 (then the default, with 100 steps) or euler",
  ).argParser(diffusionOf),
  new Option(
    "--score <flow.safetensors>",
    "flow that was trained with --predict score, for the noise of flows that start from rows",
  ),
];

/** The solver of a call, with noise or without; `isMethodGiven` tells whether --method is the user's. */
export function solverWithNoise(o: SolverOptions & NoiseOptions, isMethodGiven: boolean): Solver {
  if (o.diffusion === undefined) {
    if (o.score !== undefined)
      throw new UsageError("--score is for paths with noise: say how much noise with --diffusion, or leave it out");
    return solverOf(o);
  }
  const method = isMethodGiven ? o.method : "heun2";
  if (method !== "heun2" && method !== "euler")
    throw new UsageError(
      `--diffusion is solved by --method heun2, the stochastic Heun method, or euler, Euler–Maruyama's, but the method is ${method}: choose one of these`,
    );
  return solverOf({ ...o, method, steps: o.steps ?? 100 });
}

/** Files that the options name. */
export const noiseInputs = ({ score }: NoiseOptions) =>
  score === undefined ? [] : [{ name: "the score", path: score }];

/** The noise of a call by the flow of a file; `score` is the flow of --score, or for a cluster the bytes of its file. */
export function noiseOfCall<Score extends Flow | Uint8Array = Flow>(
  { diffusion }: NoiseOptions,
  { record }: ModelFile,
  score?: Score,
): { readonly sde?: Omit<StochasticOptions, "score"> & { score?: Score } } {
  if (diffusion === undefined) return {};
  const [from, to] = diffusion;
  const path = pathNames.find((name) => name === record?.options["--path"]);
  return {
    sde: { diffusion: (t: number) => from + (to - from) * t, ...(path && { path }), ...(score && { score }) },
  };
}

/** The file of --score, whose flow has the units of the other one. */
export async function scoreFile({ score }: NoiseOptions, { options }: ModelFile): Promise<ModelFile | undefined> {
  if (score === undefined) return undefined;
  const own = await readModel(score);
  const predicted = own.record?.options["--predict"];
  if (own.record && predicted !== "score")
    throw new UsageError(
      `--score ${shown(score)} is a flow, which was trained to predict velocities, not a score: train one with the options of the flow and --predict score`,
    );
  const units = ({ normalization, transform }: FlowOptions) => JSON.stringify([normalization, transform]);
  if (units(own.options) !== units(options))
    throw new UsageError(
      `--score ${shown(score)} has other units than the flow, so it was trained on other rows: train both on one table, with the same --columns, --seed and --holdout`,
    );
  return own;
}

/** The flow of --score on a device. */
export async function scoreOn(gpu: Gpu, o: NoiseOptions, model: ModelFile): Promise<Flow | undefined> {
  const file = await scoreFile(o, model);
  if (!file) return undefined;
  const { Flow } = await import("pushforward");
  return Flow.create(gpu, file.options);
}
