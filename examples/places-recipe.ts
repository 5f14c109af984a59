import {
  Flow,
  fitMixture,
  fitNormalization,
  type Gpu,
  type MaximumLikelihoodOptions,
  mlp,
  normalize,
  trainMaximumLikelihood,
} from "pushforward";
import { startProgress } from "../cli/report.ts";

/** Maximum likelihood in 48 passes over the data, 1,024 rows and two midpoint steps a step. */
const likelihood = { epochs: 48, batchSize: 1024, solverSteps: 2 };
/** Gaussians of the source at first: so many that they follow the coasts. docs/places.md has what more and fewer do. */
const components = 1300;
/** Units of each layer. */
const width = 64;

/** The coarse shape of the country, which flows begin from, and the change of units that both have. */
export async function placesSource(data: Float32Array, seed: number) {
  const normalization = fitNormalization(data, 2);
  const source = await fitMixture(normalize(data, normalization), 2, { components, seed, rounds: 20, unbiased: true });
  return { normalization, source };
}

type PlacesSource = Awaited<ReturnType<typeof placesSource>>;

/**
 * Three layers of 64 sines. The units of the first one are waves of the plane from the size of the whole down to its details: 1 to 30
 * radians per deviation of the data (random Fourier features; Tancik et al. 2020). From a source that has the shape of the country there
 * is a short way to go: two steps do, and nothing has to come from far out, where a network knows little.
 */
export function placesFlow(gpu: Gpu, from: PlacesSource, seed: number): Flow {
  const initial = { first: { frequencies: [1, 30] as [number, number] }, hidden: 2, output: 0.02 };
  const velocity = mlp({ dim: 2, hidden: [width, width, width], activation: "sin", initial });
  return Flow.create(gpu, { velocity, seed, ...from });
}

/** All numbers that a flow keeps: of the network, and of a mixture of Gaussians along the axes. */
export const numbersOf = (flow: Flow, gaussians: number) => flow.parameterCount + 5 * gaussians - 1;

/**
 * Maximum likelihood of the few steps that are really taken, so that training cannot live on the solver's errors; their times are drawn
 * anew for every batch, denser where the density forms, so that it does not settle on a few times either. In so few passes it counts that
 * each has every place once, and noise as wide as places are far apart keeps the flow from learning single places by heart. Hidden matrices
 * step by Muon, the rest by AdamW.
 */
function options(steps: number, seed: number): MaximumLikelihoodOptions {
  return {
    steps,
    batchSize: likelihood.batchSize,
    seed,
    objective: "discrete",
    solver: placesSolver(likelihood.solverSteps),
    jitter: 0.4,
    gradientClip: 1,
    optimizer: { name: "muon", momentum: 0.9, matrixRate: 0.012 / 1e-3 },
    learningRate: { peak: 2e-3, schedule: "cosine", warmup: 0.05 },
    ema: 0.985,
    noise: { neighbour: 8, factor: 0.2, floor: 0.002 },
    rowOrder: "shuffled",
  };
}

/** Midpoint steps that become shorter towards the data, where the density forms. */
export function placesSolver(steps: number) {
  return { method: "midpoint", steps, warp: 1.5 } as const;
}

interface Trained {
  steps: number;
  batchSize: number;
  /** Mean of the last logged losses. */
  loss: number;
  seconds: number;
  /** Floating-point operations of the products alone. */
  flops: number;
}

/** Multiply-adds twice: forward, and twice as much in reverse, of a value and two tangents, at two stages of each step. */
const flopsPerSample = (flow: Flow) => 6 * flow.parameterCount * 3 * 2 * likelihood.solverSteps;

/** Operations per second of the training on this device, of a few steps of a flow that is thrown away. */
export async function measureTraining(gpu: Gpu, data: Float32Array, from: PlacesSource): Promise<number> {
  const flow = placesFlow(gpu, from, 0);
  // the first steps wait for kernels to be compiled
  let rate = 0;
  for await (const { samplesPerSecond } of trainMaximumLikelihood(flow, data, { ...options(4, 0), logEvery: 2 }))
    rate = samplesPerSecond * flopsPerSample(flow);
  flow.dispose();
  return rate;
}

/** Seconds of the whole recipe at this rate. */
export const secondsOfRecipe = (flow: Flow, rows: number, rate: number) =>
  (likelihood.epochs * rows * flopsPerSample(flow)) / rate;

/** Trains a share of the recipe. */
export async function trainPlaces(flow: Flow, data: Float32Array, share: number, seed: number): Promise<Trained> {
  const { epochs, batchSize } = likelihood;
  const steps = Math.max(5, Math.round((share * epochs * data.length) / 2 / batchSize));
  const progress = startProgress(process, "training", steps);
  const begun = performance.now();
  const losses: number[] = [];
  const logEvery = Math.max(1, Math.floor(steps / 100));
  for await (const { step, loss } of trainMaximumLikelihood(flow, data, { ...options(steps, seed), logEvery })) {
    losses.push(loss);
    progress.update(step, `loss ${loss.toFixed(4)}`);
  }
  progress.stop();
  const last = losses.slice(-10);
  const loss = last.reduce((sum, value) => sum + value, 0) / last.length;
  const seconds = (performance.now() - begun) / 1000;
  return { steps, batchSize, loss, seconds, flops: steps * batchSize * flopsPerSample(flow) };
}
