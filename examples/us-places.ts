/**
 * The main job: learn where the postal codes of the contiguous United States are, from the places themselves.
 * Trains a flow by flow matching, draws particles through it, and compares its held-out log-likelihood with three baselines.
 *
 *   npm start                                 about three minutes on two CPU cores, less on a GPU
 *   npm start -- --samples 10000000           more particles
 *   npm start -- --quick                      a few seconds, to see that everything works
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Flow, fitNormalization, mlp, openGpu, trainFlowMatching } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { cosineWithWarmup } from "../cli/learning-rate.ts";
import { cellCentres, countPoints, type Grid, toDensity } from "../cli/plot/grid.ts";
import { count, duration, startProgress } from "../cli/report.ts";
import { seededUniform } from "../cli/split.ts";
import { chooseByValidation, fitGaussian, fitMixture, kernelDensity, type Score, scoreOf } from "./baselines.ts";
import { loadPlaces, type Places } from "./places-data.ts";
import { drawPlaces, mapGrid } from "./places-figures.ts";
import { strayShare } from "./stray.ts";
import { loadOutline } from "./us-outline.ts";

const { values: given } = parseArgs({
  options: {
    samples: { type: "string", default: "" },
    steps: { type: "string", default: "" },
    seed: { type: "string", default: "0" },
    out: { type: "string", default: "out" },
    quick: { type: "boolean", default: false },
  },
});

const seed = Number(given.seed);
const settings = given.quick
  ? { steps: 200, samples: 20_000, columns: 60, fineColumns: 120, components: [4], bandwidths: [0.03] }
  : {
      steps: 20_000,
      samples: 400_000,
      columns: 200,
      fineColumns: 500,
      components: [16, 32, 64],
      bandwidths: [0.01, 0.015, 0.02, 0.03],
    };
const steps = whole("--steps", given.steps, settings.steps);
const samples = whole("--samples", given.samples, settings.samples);
/** N; every likelihood is also computed with 2N to see what N costs. */
const solverSteps = 12;
const solver = { method: "midpoint", steps: solverSteps } as const;
const batchSize = 256;
/** Half a degree is 40 to 55 km: farther from all known places than that, a sample has strayed. */
const strayDistance = 0.5;

const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;

const places = await loadPlaces(seed);
const { train, validation, test } = places;
say(
  `${count(places.counts.file)} postal codes, ${count(places.counts.inside)} in the contiguous US, ${count(places.counts.distinct)} distinct places:`,
  `${count(train.length / 2)} to train on, ${count(validation.length / 2)} for validation, ${count(test.length / 2)} held out`,
);

const gpu = await openGpu();
say(
  `adapter: ${gpu.info.description || gpu.info.architecture || gpu.info.vendor}${gpu.info.software ? " (software)" : ""}`,
);
const flow = await createFlow(train);
const training = await trainFlow(flow);
await mkdir(given.out, { recursive: true });
await writeWhole(join(given.out, "flow.safetensors"), await flow.save());

const sampling = await drawSamples(flow);
const likelihood = await evaluate(flow, test);
const model = await modelDensity(flow);
const baselines = scoreBaselines(places);
const pictures = await drawPlaces(given.out, {
  data: histogram(concatenate([train, validation, test]), settings.columns),
  samples: toDensity(sampling.coarse, samples),
  fineSamples: toDensity(sampling.fine, samples),
  model,
  outline: await loadOutline(),
  places: places.counts.distinct,
  particles: samples,
  parameters: flow.parameterCount,
});
const parameters = flow.parameterCount;
flow.dispose();
gpu.dispose();
await report();

/**
 * Three layers of sines. The first layer's weights are drawn wide, so that its units are Fourier features of the map, from
 * the size of the country down to that of a city (Tancik et al. 2020); with the usual narrow start details come out blurred.
 */
async function createFlow(data: Float32Array): Promise<Flow> {
  const velocity = mlp({ dim: 2, hidden: [64, 64, 64], activation: "sin", time: { fourier: 2 } });
  const created = Flow.create(gpu, { velocity, seed, normalization: fitNormalization(data, 2) });
  const weights = await created.weights();
  const uniform = seededUniform(seed + 1);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const first = weights["net.0.weight"] ?? new Float32Array(0);
  const phases = weights["net.0.bias"] ?? new Float32Array(0);
  const inputs = first.length / phases.length;
  for (const unit of phases.keys()) {
    first[unit * inputs] = 3 * normal();
    first[unit * inputs + 1] = 3 * normal();
    phases[unit] = Math.PI * (2 * uniform() - 1);
  }
  created.setWeights(weights);
  return created;
}

async function trainFlow(target: Flow): Promise<{ loss: number; seconds: number; samplesPerSecond: number }> {
  const progress = startProgress(process, "training", steps);
  const begun = performance.now();
  const losses: number[] = [];
  for await (const { step, loss } of trainFlowMatching(target, train, {
    steps,
    batchSize,
    learningRate: cosineWithWarmup(4e-3, steps, Math.round(steps / 50)),
    coupling: "optimal-transport",
    ema: 0.999,
    gradientClip: 1,
    seed,
    logEvery: Math.max(1, Math.floor(steps / 200)),
  })) {
    losses.push(loss);
    progress.update(step, `loss ${loss.toFixed(4)}`);
  }
  progress.stop();
  const taken = (performance.now() - begun) / 1000;
  const last = losses.slice(-20);
  const loss = last.reduce((sum, value) => sum + value, 0) / last.length;
  say(
    `trained ${count(target.parameterCount)} parameters for ${count(steps)} steps in ${duration(taken)}: loss ${loss.toFixed(4)}`,
  );
  return { loss, seconds: taken, samplesPerSecond: (steps * batchSize) / taken };
}

async function drawSamples(source: Flow) {
  const coarse = mapGrid(settings.columns);
  const fine = mapGrid(settings.fineColumns);
  const known = concatenate([train, validation]);
  const progress = startProgress(process, "sampling", samples);
  const begun = performance.now();
  let onDevice = 0;
  let done = 0;
  let nonFinite = 0;
  let strays = 0;
  let mark = performance.now();
  for await (const chunk of source.sampleStream(samples, { solver, seed })) {
    onDevice += performance.now() - mark;
    countPoints(coarse, { data: chunk.x, dim: 2 });
    countPoints(fine, { data: chunk.x, dim: 2 });
    // A part is enough for a share to three digits.
    if (done < 50_000) strays = strayShare(chunk.x.subarray(0, 100_000), known, strayDistance);
    done += chunk.x.length / 2;
    nonFinite += chunk.nonFinite;
    progress.update(done);
    mark = performance.now();
  }
  progress.stop();
  const taken = (performance.now() - begun) / 1000;
  const perSecond = samples / (onDevice / 1000);
  say(
    `pushed ${count(samples)} particles through it in ${duration(taken)}: ${count(perSecond)} particles/s (midpoint, ${solverSteps} steps)`,
  );
  const heldOut = strayShare(test, known, strayDistance);
  say(
    `${(100 * strays).toFixed(2)} % of them lie over ${strayDistance}° from every place it saw; of held-out places ${(100 * heldOut).toFixed(2)} %`,
  );
  return {
    coarse,
    fine,
    seconds: taken,
    particlesPerSecond: perSecond,
    nonFinite,
    strayShare: strays,
    heldOutStrayShare: heldOut,
  };
}

/** Held-out log-likelihood in nats per place, of a density per square degree, with N steps and with 2N. */
async function evaluate(
  source: Flow,
  points: Float32Array,
): Promise<Score & { steps: number; changeWithTwiceTheSteps: number }> {
  const scores: Score[] = [];
  for (const factor of [1, 2]) {
    const { logProb } = await source.logProb(points, { solver: { method: "midpoint", steps: factor * solverSteps } });
    scores.push(scoreOf(logProb));
  }
  const [single, double] = scores as [Score, Score]; // One for each factor.
  return { ...single, steps: solverSteps, changeWithTwiceTheSteps: double.mean - single.mean };
}

async function modelDensity(source: Flow): Promise<Grid> {
  const grid = mapGrid(settings.columns);
  const centres = cellCentres(grid);
  const progress = startProgress(process, "density", grid.values.length);
  const { logProb } = await source.logProb(centres, { solver, onProgress: ({ done }) => progress.update(done) });
  progress.stop();
  grid.values.set(Float64Array.from(logProb, (value) => Math.exp(value)));
  return grid;
}

function scoreBaselines({ train: data, validation: chosenOn, test: held }: Places) {
  const begun = performance.now();
  const scale = fitNormalization(data, 2).scale;
  const mixture = chooseByValidation(
    settings.components,
    (components) => fitMixture(data, 2, { components, seed }),
    chosenOn,
  );
  const kernel = chooseByValidation(
    settings.bandwidths,
    (bandwidth) => kernelDensity(data, 2, bandwidth, scale),
    chosenOn,
  );
  const scores = [
    { name: "one Gaussian", ...scoreOf(fitGaussian(data, 2)(held)), numbers: 5 },
    {
      name: `mixture of ${mixture.candidate} Gaussians`,
      ...scoreOf(mixture.density(held)),
      numbers: 6 * mixture.candidate - 1,
    },
    { name: `kernel density, h = ${kernel.candidate}`, ...scoreOf(kernel.density(held)), numbers: data.length },
  ];
  say(`fitted the baselines in ${duration((performance.now() - begun) / 1000)}`);
  return scores;
}

async function report(): Promise<void> {
  const rows = [
    { name: "the flow", mean: likelihood.mean, standardError: likelihood.standardError, numbers: parameters },
    ...baselines,
  ];
  say("", "held-out log-likelihood, nats per place (density per square degree)            numbers kept");
  for (const { name, mean, standardError, numbers } of rows) {
    say(
      `  ${name.padEnd(28)} ${mean.toFixed(4).padStart(8)} ± ${standardError.toFixed(4)} ${count(numbers).padStart(40)}`,
    );
  }
  const change = likelihood.changeWithTwiceTheSteps;
  say(
    `  the flow is solved by midpoint with ${solverSteps} steps; with ${2 * solverSteps} it changes by ${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(4)}`,
  );
  const { coarse: _, fine: __, ...sampled } = sampling;
  const content = {
    adapter: { ...gpu.info, features: [...gpu.info.features] },
    seed,
    data: { ...places.counts, train: train.length / 2, validation: validation.length / 2, test: test.length / 2 },
    training: { steps, batchSize, parameters, ...training },
    sampling: { count: samples, solver, ...sampled },
    heldOutLogLikelihood: { unit: "nats per place, density per square degree", flow: likelihood, baselines },
    seconds: seconds(),
  };
  const path = join(given.out, "report.json");
  await writeWhole(path, `${JSON.stringify(content, null, 2)}\n`);
  say(
    "",
    `wrote ${[...pictures, join(given.out, "flow.safetensors"), path].join(", ")}`,
    `all in ${duration(seconds())}`,
  );
}

function histogram(points: Float32Array, columns: number): Grid {
  const grid = mapGrid(columns);
  countPoints(grid, { data: points, dim: 2 });
  return toDensity(grid, points.length / 2);
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    all.set(part, position);
    position += part.length;
  }
  return all;
}

function whole(name: string, text: string, fallback: number): number {
  if (text === "") return fallback;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  process.stderr.write(`${name} is "${text}", but it is a whole number of at least 1\n`);
  process.exit(2);
}

function say(...lines: string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}
