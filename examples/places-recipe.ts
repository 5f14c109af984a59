import {
  Flow,
  type FlowMatchingOptions,
  fitMixture,
  fitNormalization,
  type Gpu,
  type MaximumLikelihoodOptions,
  mlp,
  normalize,
  type TrainingStep,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import { startProgress } from "../cli/report.ts";

/** A little flow matching, then maximum likelihood in 32 passes over the data, 256 rows and two midpoint steps a step. */
const matching = { steps: 100, batchSize: 512 };
const likelihood = { epochs: 32, batchSize: 256, solverSteps: 2 };
/** Gaussians of the source. */
const components = 640;

/** The coarse shape of the country, which flows begin from, and the change of units that both have. */
export async function placesSource(data: Float32Array, seed: number) {
  const normalization = fitNormalization(data, 2);
  const source = await fitMixture(normalize(data, normalization), 2, { components, seed, rounds: 20 });
  return { normalization, source };
}

export type PlacesSource = Awaited<ReturnType<typeof placesSource>>;

/**
 * Three layers of 96 sines. The units of the first one are waves of the plane from the size of the whole down to its details: 1 to 30
 * radians per deviation of the data (random Fourier features; Tancik et al. 2020). From a source that has the shape of the country there
 * is a short way to go: two steps do, and nothing has to come from far out, where a network knows little.
 */
export function placesFlow(gpu: Gpu, from: PlacesSource, seed: number): Flow {
  const initial = { first: { frequencies: [1, 30] as [number, number] }, hidden: 2, output: 0.02 };
  const velocity = mlp({ dim: 2, hidden: [96, 96, 96], activation: "sin", initial });
  return Flow.create(gpu, { velocity, seed, ...from });
}

/** All numbers that a flow keeps: of the network, and of a mixture of Gaussians along the axes. */
export const numbersOf = (flow: Flow, gaussians = components) => flow.parameterCount + 5 * gaussians - 1;

/**
 * Pairs by optimal transport make paths straight, noise as wide as places are far apart keeps the flow from learning single places by
 * heart, and times of a batch cover (0, 1) evenly. Hidden matrices step by Muon, the rest by AdamW.
 */
function matchingOptions(steps: number, seed: number): FlowMatchingOptions {
  return {
    steps,
    batchSize: matching.batchSize,
    seed,
    optimizer: { name: "muon", matrixRate: 0.02 / 3e-3, betas: [0.9, 0.99] },
    learningRate: { peak: 3e-3, schedule: "cosine", warmup: 0.02 },
    ema: 0.999,
    time: "stratified",
    coupling: { method: "exact", group: 1024 },
    noise: { neighbour: 8, factor: 0.2, floor: 0.002 },
  };
}

/**
 * Maximum likelihood of the few steps that are really taken, so that training cannot live on the solver's errors; their times are drawn
 * anew for every batch, denser where the density forms, so that it does not settle on a few times either. In so few passes it counts that
 * each has every place once.
 */
function likelihoodOptions(steps: number, seed: number): MaximumLikelihoodOptions {
  return {
    steps,
    batchSize: likelihood.batchSize,
    seed,
    objective: "discrete",
    solver: placesSolver(likelihood.solverSteps),
    jitter: 0.4,
    gradientClip: 1,
    optimizer: { name: "muon", momentum: 0.9, matrixRate: 0.012 / 1e-3 },
    learningRate: { peak: 1e-3, schedule: "cosine", warmup: 0.05 },
    ema: 0.985,
    noise: { neighbour: 8, factor: 0.2, floor: 0.002 },
    rowOrder: "shuffled",
  };
}

/** Midpoint steps that become shorter towards the data, where the density forms. */
export function placesSolver(steps: number) {
  return { method: "midpoint", steps, warp: 1.5 } as const;
}

export interface Stage {
  name: string;
  steps: number;
  batchSize: number;
  /** Mean of the last logged losses. */
  loss: number;
  seconds: number;
  /** Floating-point operations of the products alone. */
  flops: number;
}

/** Multiply-adds twice: forward, and twice as much in reverse; likelihood takes two tangents along, at two stages of each step. */
function flopsPerSample(flow: Flow) {
  const once = 6 * flow.parameterCount;
  return { matching: once, likelihood: once * 3 * 2 * likelihood.solverSteps };
}

/** Operations per second of each stage on this device, of a few steps of a flow that is thrown away. */
export async function measureTraining(gpu: Gpu, data: Float32Array, from: PlacesSource) {
  const flow = placesFlow(gpu, from, 0);
  const rate = async (steps: AsyncIterable<TrainingStep>, flops: number) => {
    // the first steps wait for kernels to be compiled
    let last = 0;
    for await (const { samplesPerSecond } of steps) last = samplesPerSecond;
    return last * flops;
  };
  const flops = flopsPerSample(flow);
  const { coupling: _, ...alone } = matchingOptions(24, 0);
  const rates = {
    matching: await rate(trainFlowMatching(flow, data, { ...alone, logEvery: 12 }), flops.matching),
    likelihood: await rate(
      trainMaximumLikelihood(flow, data, { ...likelihoodOptions(4, 0), logEvery: 2 }),
      flops.likelihood,
    ),
  };
  flow.dispose();
  return rates;
}

/** Seconds of the whole recipe at these rates. */
export function secondsOfRecipe(flow: Flow, rows: number, rates: Awaited<ReturnType<typeof measureTraining>>): number {
  const flops = flopsPerSample(flow);
  return (
    (matching.steps * matching.batchSize * flops.matching) / rates.matching +
    (likelihood.epochs * rows * flops.likelihood) / rates.likelihood
  );
}

/** Trains a share of the recipe, both stages in proportion. */
export async function trainPlaces(flow: Flow, data: Float32Array, share: number, seed: number): Promise<Stage[]> {
  const flops = flopsPerSample(flow);
  const matchingSteps = Math.max(20, Math.round(share * matching.steps));
  const epochSteps = data.length / 2 / likelihood.batchSize;
  const likelihoodSteps = Math.max(5, Math.round(share * likelihood.epochs * epochSteps));
  return [
    await trainStage(
      "flow matching",
      matchingSteps,
      matching.batchSize,
      flops.matching,
      trainFlowMatching(flow, data, { ...matchingOptions(matchingSteps, seed), logEvery: every(matchingSteps) }),
    ),
    await trainStage(
      "likelihood",
      likelihoodSteps,
      likelihood.batchSize,
      flops.likelihood,
      trainMaximumLikelihood(flow, data, {
        ...likelihoodOptions(likelihoodSteps, seed + 1),
        logEvery: every(likelihoodSteps),
      }),
    ),
  ];
}

const every = (steps: number) => Math.max(1, Math.floor(steps / 100));

async function trainStage(
  name: string,
  steps: number,
  batchSize: number,
  flops: number,
  training: AsyncIterable<TrainingStep>,
): Promise<Stage> {
  const progress = startProgress(process, name, steps);
  const begun = performance.now();
  const losses: number[] = [];
  for await (const { step, loss } of training) {
    losses.push(loss);
    progress.update(step, `loss ${loss.toFixed(4)}`);
  }
  progress.stop();
  const last = losses.slice(-10);
  const loss = last.reduce((sum, value) => sum + value, 0) / last.length;
  return {
    name,
    steps,
    batchSize,
    loss,
    seconds: (performance.now() - begun) / 1000,
    flops: steps * batchSize * flops,
  };
}
