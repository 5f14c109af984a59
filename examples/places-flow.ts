import type { Flow } from "pushforward";
import { cellCentres, countPoints, type Grid } from "../cli/plot/grid.ts";
import { startProgress } from "../cli/report.ts";
import { type Score, scoreOf } from "./baselines.ts";
import { mapGrid } from "./places-figures.ts";
import { placesSolver } from "./places-recipe.ts";
import type { Settings } from "./places-settings.ts";

interface Sampling {
  /** Counts of all samples, on the map's cells and on smaller ones. */
  coarse: Grid;
  fine: Grid;
  /** The first ones, row-major [n, 2]. */
  first: Float32Array;
  nonFinite: number;
  seconds: number;
  /** Without the time that counting takes. */
  particlesPerSecond: number;
}

/** Pushes particles through the flow and counts them on the map, chunk by chunk, so that any number takes constant memory. */
export async function drawSamples(
  flow: Flow,
  { samples, columns, fineColumns, sampleSteps, seed }: Settings,
): Promise<Sampling> {
  const coarse = mapGrid(columns);
  const fine = mapGrid(fineColumns);
  const first = new Float32Array(2 * Math.min(samples, 50_000));
  const progress = startProgress(process, "sampling", samples);
  const begun = performance.now();
  let counting = 0;
  let done = 0;
  let nonFinite = 0;
  for await (const { x, ...chunk } of flow.sampleStream(samples, {
    solver: placesSolver(sampleSteps),
    seed,
  })) {
    const arrived = performance.now();
    countPoints(coarse, { data: x, dim: 2 });
    countPoints(fine, { data: x, dim: 2 });
    if (2 * done < first.length) first.set(x.subarray(0, first.length - 2 * done), 2 * done);
    done += x.length / 2;
    nonFinite += chunk.nonFinite;
    progress.update(done);
    counting += performance.now() - arrived;
  }
  progress.stop();
  const total = performance.now() - begun;
  return {
    coarse,
    fine,
    first,
    nonFinite,
    seconds: total / 1000,
    particlesPerSecond: (1000 * samples) / (total - counting),
  };
}

export interface Likelihood extends Score {
  steps: number;
  /** Of each point. */
  logProb: Float32Array;
  /** Mean with 2N steps minus that with N. */
  changeWithTwiceTheSteps: number;
}

/** Held-out log-likelihood in nats per place, of a density per square degree, with N solver steps and with 2N. */
export async function evaluate(flow: Flow, points: Float32Array, steps: number): Promise<Likelihood> {
  const scored = async (number: number) => {
    const { logProb } = await flow.logProb(points, { solver: placesSolver(number) });
    return { ...scoreOf(logProb), logProb };
  };
  const single = await scored(steps);
  const double = await scored(2 * steps);
  return { ...single, steps, changeWithTwiceTheSteps: double.mean - single.mean };
}

/** The flow's density per square degree at the centre of every cell of the map. */
export async function densityMap(flow: Flow, { columns, solverSteps }: Settings): Promise<Grid> {
  const grid = mapGrid(columns);
  const progress = startProgress(process, "density", grid.values.length);
  const { logProb } = await flow.logProb(cellCentres(grid), {
    solver: placesSolver(solverSteps),
    onProgress: ({ done }) => progress.update(done),
  });
  progress.stop();
  grid.values.set(Float64Array.from(logProb, (value) => Math.exp(value)));
  return grid;
}
